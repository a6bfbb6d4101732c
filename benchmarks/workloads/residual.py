"""Residual network with BatchNorm on Fashion-MNIST at half the resolution."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def normed(x, filters, strides=1, size=3):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def block(x, filters, strides):
    y = layers.ReLU()(normed(x, filters, strides))
    y = normed(y, filters)
    if strides > 1:
        x = normed(x, filters, strides, 1)
    return layers.ReLU()(x + y)


def build():
    inputs = keras.Input((14, 14, 1))
    x = layers.ReLU()(normed(inputs, 8))
    for filters, strides in ((8, 1), (16, 2)):
        x = block(x, filters, strides)
    pooled = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(pooled))


WORKLOAD = Workload(
    "residual", datasets.halved_fashion_mnist, build, cross_entropy, 32, 600, True
)
