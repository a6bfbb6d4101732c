"""Clothes at half the resolution, with right labels, and with some at random.

Labels that are validated are as noisy as those trained on; those held back are right.
"""

import functools

import keras
import numpy as np
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case, compile_classifier, wrong, wrong_by_chance
from benchmarks.workload import Data

EXAMPLES = 8_000
"""To train on and to validate."""


def load(noise: float) -> Data:
    """A part of the images, a share of its labels drawn anew."""
    data = datasets.halved_fashion_mnist()
    y = data.y[:EXAMPLES].copy()
    random = np.random.default_rng(0)
    noisy = random.permutation(EXAMPLES)[: round(noise * EXAMPLES)]
    y[noisy] = random.integers(10, size=len(noisy))
    return Data(data.x[:EXAMPLES], y, data.x_held_back, data.y_held_back)


def build():
    return keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )


CASES = tuple(
    Case(
        name,
        functools.partial(load, noise),
        build,
        compile_classifier,
        wrong,
        wrong_by_chance,
        epochs=40,
        patience=3,
    )
    for name, noise in (
        ("fashion", 0.0),
        ("fashion, 20 % noise", 0.2),
        ("fashion, 40 % noise", 0.4),
    )
)
