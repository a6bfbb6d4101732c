"""Gated recurrent unit that predicts the next character."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential(
        [
            keras.Input((datasets.WINDOW,), dtype="int32"),
            layers.Embedding(datasets.ALPHABET, 32),
            layers.GRU(48, return_sequences=True),
            layers.Dense(datasets.ALPHABET),
        ]
    )


WORKLOAD = Workload("recurrent", datasets.text, build, cross_entropy, 16, 600, True)
