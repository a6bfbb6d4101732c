"""Regression of the price of diamonds from a table."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, half_squared_error


def build():
    return keras.Sequential(
        [
            keras.Input((26,)),
            layers.Dense(64, "gelu"),
            layers.Dense(64, "gelu"),
            layers.Dense(1),
        ]
    )


WORKLOAD = Workload(
    "regression", datasets.diamonds, build, half_squared_error, 64, 1500
)
