"""Burgers' equation by a network whose derivatives are in the loss.

After Raissi, Perdikaris and Karniadakis (2019), with a larger viscosity.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.unseen_data import collocation
from benchmarks.workload import Workload, half_squared_error

VISCOSITY = 0.03


@keras.saving.register_keras_serializable(package="benchmarks")
class Residual(layers.Layer):
    """By how much a network misses the equation, at times and places.

    It is a sine at the start and zero at the margins, whatever the network says.

    Args:
        network: Maps time and place to a number.
    """

    def __init__(self, network: keras.Model, **kwargs) -> None:
        super().__init__(**kwargs)
        self.network = network

    def _solution(self, t, x):
        free = self.network(tf.concat([t, x], axis=1))
        return -tf.sin(np.pi * x) + t * (1 - x**2) * free

    def call(self, points):
        t, x = points[:, :1], points[:, 1:]
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch([t, x])
                u = self._solution(t, x)
            u_t, u_x = first.gradient(u, [t, x])
        u_xx = second.gradient(u_x, x)
        return u_t + u * u_x - VISCOSITY * u_xx

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return super().get_config() | {"network": network}

    @classmethod
    def from_config(cls, config):
        config["network"] = keras.saving.deserialize_keras_object(config["network"])
        return cls(**config)


def build():
    hidden = [layers.Dense(24, "tanh") for _ in range(3)]
    network = keras.Sequential([keras.Input((2,)), *hidden, layers.Dense(1)])
    return keras.Sequential([keras.Input((2,)), Residual(network)])


WORKLOAD = Workload("burgers", collocation.points, build, half_squared_error, 512, 1000)
