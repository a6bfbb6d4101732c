"""Two convolutions, two dense layers on Fashion-MNIST at half the resolution."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10),
        ]
    )


WORKLOAD = Workload(
    "convolution", datasets.halved_fashion_mnist, build, cross_entropy, 32, 800, True
)
