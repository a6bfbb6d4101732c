"""Noisy quadratic with dense off-diagonals, after DeepOBS (Schneider et al., 2019)."""

import keras
import numpy as np

from benchmarks.workload import Data, Workload, half_squared_error

SIZE = 100


def root_of_hessian():
    """90 eigenvalues in [0, 1] and 10 in [30, 60], in random directions."""
    random = np.random.default_rng(0)
    eigenvalues = np.concatenate([random.uniform(0, 1, 90), random.uniform(30, 60, 10)])
    rotation, _ = np.linalg.qr(random.normal(size=(SIZE, SIZE)))
    return (rotation * np.sqrt(eigenvalues)).astype("float32")


@keras.saving.register_keras_serializable(package="benchmarks")
class Shift(keras.layers.Layer):
    """Adds a vector, the only thing that is trained."""

    def build(self, shape):
        self.shift = self.add_weight(shape=shape[1:], initializer="ones", name="shift")

    def call(self, x):
        return x + self.shift


def build():
    fixed = keras.layers.Dense(SIZE, use_bias=False, trainable=False)
    model = keras.Sequential([keras.Input((SIZE,)), Shift(), fixed])
    fixed.set_weights([root_of_hessian()])
    return model


def load():
    noise = np.random.default_rng(1).normal(size=(11_000, SIZE), scale=0.1)
    noise = noise.astype("float32")
    return Data.split(noise, np.zeros_like(noise), held_back=1_000)


WORKLOAD = Workload("quadratic", load, build, half_squared_error, 128, 1000)
