"""Dilated causal convolutions that tell exercises apart by a smartwatch's sensors."""

import keras
from keras import layers

from benchmarks.unseen_data import movements
from benchmarks.workload import Workload, cross_entropy

WIDTH = 24


def block(x, dilation):
    y = layers.Conv1D(
        WIDTH, 3, padding="causal", dilation_rate=dilation, activation="relu"
    )(x)
    return x + layers.Conv1D(WIDTH, 1)(y)


def build():
    inputs = keras.Input((movements.WINDOW, 6))
    x = layers.Conv1D(WIDTH, 1)(inputs)
    for dilation in (1, 2, 4, 8):
        x = block(x, dilation)
    pooled = layers.GlobalAveragePooling1D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(7)(pooled))


WORKLOAD = Workload(
    "movements", movements.movements, build, cross_entropy, 32, 800, True
)
