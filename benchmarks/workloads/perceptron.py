"""Multilayer perceptron on Fashion-MNIST at half the resolution."""

import keras

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(10),
        ]
    )


WORKLOAD = Workload(
    "perceptron", datasets.halved_fashion_mnist, build, cross_entropy, 64, 1500, True
)
