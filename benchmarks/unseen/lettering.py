"""Convolutions with BatchNorm and dropout on capitals and digits of many fonts."""

import keras
from keras import layers

from benchmarks.unseen_data import glyphs
from benchmarks.workload import Workload, cross_entropy


def build():
    model = keras.Sequential([keras.Input((glyphs.SIDE, glyphs.SIDE, 1))])
    for filters in (8, 16):
        model.add(layers.Conv2D(filters, 3, use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
    for layer in (
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(96, "relu"),
        layers.Dropout(0.3),
        layers.Dense(len(glyphs.CHARACTERS)),
    ):
        model.add(layer)
    return model


WORKLOAD = Workload("lettering", glyphs.glyphs, build, cross_entropy, 128, 800, True)
