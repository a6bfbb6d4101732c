"""One-dimensional convolutions on MNIST-1D."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def build():
    convolutions = [
        layers.Conv1D(25, size, strides=2, padding="same", activation="relu")
        for size in (5, 3, 3)
    ]
    return keras.Sequential(
        [keras.Input((40, 1)), *convolutions, layers.Flatten(), layers.Dense(10)]
    )


WORKLOAD = Workload(
    "mnist_1d", datasets.mnist_1d, build, cross_entropy, 100, 1500, True
)
