"""Gated recurrent units in both directions that tell the language of a name."""

import keras
from keras import layers

from benchmarks.unseen_data import locales
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential(
        [
            keras.Input((locales.NAME,), dtype="int32"),
            layers.Embedding(locales.LETTERS, 16),
            layers.Bidirectional(layers.GRU(32)),
            layers.Dense(len(locales.LANGUAGES)),
        ]
    )


WORKLOAD = Workload("names", locales.names, build, cross_entropy, 64, 800, True)
