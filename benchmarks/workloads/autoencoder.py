"""Deep autoencoder on MNIST at half the resolution (after Martens, 2010)."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, summed_binary_cross_entropy


def build():
    sizes = (128, 64, 16, 64, 128)
    hidden = [layers.Dense(size, "tanh") for size in sizes]
    return keras.Sequential([keras.Input((196,)), *hidden, layers.Dense(196)])


WORKLOAD = Workload(
    "autoencoder",
    datasets.mnist_images,
    build,
    summed_binary_cross_entropy,
    64,
    1500,
)
