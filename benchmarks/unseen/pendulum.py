"""Values of what a pendulum's motor can do, learned from a fixed set of moves.

The loss is the squared residual of Bellman's equation, differentiated on both of its
sides (Baird, 1995). What a move leads to is certain, so one example tells the expected
value.
"""

import keras
from keras import layers, ops

from benchmarks.unseen_data import pendulum
from benchmarks.workload import Workload, half_squared_error

DISCOUNT = 0.9


@keras.saving.register_keras_serializable(package="benchmarks")
class Residual(layers.Layer):
    """By how much values miss Bellman's equation."""

    def call(self, moves, values, next_values):
        chosen = ops.one_hot(ops.cast(moves[:, 3], "int32"), len(pendulum.TORQUES))
        value = ops.sum(chosen * values, axis=-1)
        best = ops.max(next_values, axis=-1)
        return (value - moves[:, 4] - DISCOUNT * best)[:, None]


def build():
    hidden = [layers.Dense(64, "relu") for _ in range(2)]
    outputs = layers.Dense(len(pendulum.TORQUES))
    network = keras.Sequential([keras.Input((3,)), *hidden, outputs])
    moves = keras.Input((8,))
    residual = Residual()(moves, network(moves[:, :3]), network(moves[:, 5:]))
    return keras.Model(moves, residual)


WORKLOAD = Workload(
    "pendulum", pendulum.transitions, build, half_squared_error, 1024, 1000
)
