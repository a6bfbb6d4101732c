"""The price of diamonds from a table, with outliers in the targets trained on.

What is validated has them too, and is the mean absolute error, for the squared one is
that of the outliers alone.
"""

import keras
import numpy as np
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case
from benchmarks.workload import Data

EXAMPLES = 8_000
"""To train on and to validate."""

OUTLIERS = 0.05
"""The share of targets that are off by ten standard deviations, either way."""


def load() -> Data:
    data = datasets.diamonds()
    y = data.y[:EXAMPLES].copy()
    random = np.random.default_rng(0)
    outliers = random.permutation(EXAMPLES)[: round(OUTLIERS * EXAMPLES)]
    y[outliers] += 10 * random.choice([-1, 1], size=(len(outliers), 1))
    return Data(data.x[:EXAMPLES], y, data.x_held_back, data.y_held_back)


def build():
    return keras.Sequential(
        [
            keras.Input((26,)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )


def compile_regression(model, make):
    model.compile(make(), "mse", metrics=["mae"])


def error_of_the_median(data):
    """The mean absolute error of the best constant prediction."""
    return float(np.mean(np.abs(data.y_held_back - np.median(data.y_held_back))))


CASE = Case(
    "regression, outliers",
    load,
    build,
    compile_regression,
    lambda held_back: held_back["mae"],
    error_of_the_median,
    epochs=40,
    patience=5,
    batch_size=64,
    monitor="val_mae",
)
