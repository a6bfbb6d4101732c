"""Price of houses from a table: embeddings of categories beside numbers."""

import keras
from keras import layers, ops

from benchmarks.unseen_data import housing
from benchmarks.workload import Workload


def huber(y, prediction):
    """Squared for small errors, linear from 0.5 on."""
    return ops.mean(keras.losses.huber(y, prediction, delta=0.5))


def build():
    inputs = keras.Input((3 + housing.NUMBERS,))
    embedded = [
        layers.Embedding(count, width)(inputs[:, i])
        for i, (count, width) in enumerate(
            ((housing.CITIES, 12), (housing.MONTHS, 4), (housing.YEARS, 4))
        )
    ]
    x = layers.Concatenate()([*embedded, inputs[:, 3:]])
    for _ in range(2):
        x = layers.Dense(96, "silu")(x)
    return keras.Model(inputs, layers.Dense(1)(x))


WORKLOAD = Workload("housing", housing.housing, build, huber, 256, 1000)
