"""Variational autoencoder on MNIST: a loss with noise of its own."""

import keras
from keras import layers, ops

from benchmarks import datasets
from benchmarks.workload import Workload, summed_binary_cross_entropy

CODE = 8


@keras.saving.register_keras_serializable(package="benchmarks")
class Sample(layers.Layer):
    """Draws a code and adds its Kullback-Leibler divergence; without noise at rest."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.noise = keras.random.SeedGenerator(0)

    def call(self, x, training=None):
        mean, log_variance = ops.split(x, 2, axis=-1)
        divergence = ops.exp(log_variance) + mean**2 - 1 - log_variance
        self.add_loss(0.5 * ops.mean(ops.sum(divergence, axis=-1)))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.noise)
        return mean + ops.exp(0.5 * log_variance) * noise


def build():
    return keras.Sequential(
        [
            keras.Input((196,)),
            layers.Dense(128, "relu"),
            layers.Dense(2 * CODE),
            Sample(),
            layers.Dense(128, "relu"),
            layers.Dense(196),
        ]
    )


WORKLOAD = Workload(
    "variational",
    datasets.mnist_images,
    build,
    summed_binary_cross_entropy,
    64,
    1500,
)
