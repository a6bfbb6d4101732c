"""Logistic regression on Fashion-MNIST: convex, badly scaled."""

import keras

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])


WORKLOAD = Workload(
    "logistic", datasets.fashion_mnist, build, cross_entropy, 64, 1500, True
)
