"""Variational autoencoder of digits by Keras's example, with a `train_step` of its own.

The error is the negative bound on the log-likelihood (ELBO), of one sample each.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks import datasets
from benchmarks.practice.case import Case
from benchmarks.workload import Data, summed_binary_cross_entropy

CODE = 8

EXAMPLES = 4_480
"""Seventy minibatches to train on and to validate."""


def load() -> Data:
    """Digits in black and white."""
    data = datasets.mnist_images()
    x, x_held_back = (
        np.round(a).astype("float32") for a in (data.x[:EXAMPLES], data.x_held_back)
    )
    return Data(x, x, x_held_back, x_held_back)


class VariationalAutoencoder(keras.Model):
    """Encoder, sample, decoder; the noise is drawn anew in every call."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                keras.Input((196,)),
                layers.Dense(128, "relu"),
                layers.Dense(2 * CODE),
            ]
        )
        self.decoder = keras.Sequential(
            [keras.Input((CODE,)), layers.Dense(128, "relu"), layers.Dense(196)]
        )
        self.seeds = keras.random.SeedGenerator()
        self.mean_loss = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.mean_loss]

    def negative_elbo(self, x):
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        logits = self.decoder(mean + ops.exp(0.5 * log_variance) * noise)
        divergence = ops.exp(log_variance) + mean**2 - 1 - log_variance
        return summed_binary_cross_entropy(x, logits) + 0.5 * ops.mean(
            ops.sum(divergence, axis=-1)
        )

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = self.negative_elbo(x)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_weights, strict=True)
        )
        self.mean_loss.update_state(loss)
        return {"loss": self.mean_loss.result()}

    def test_step(self, data):
        x, _ = data
        self.mean_loss.update_state(self.negative_elbo(x))
        return {"loss": self.mean_loss.result()}


def independent_pixels(data):
    """That of a model whose pixels are drawn each by itself, with the right means."""
    x, means = data.x_held_back, np.clip(data.x.mean(axis=0), 1e-3, 1 - 1e-3)
    likelihood = x * np.log(means) + (1 - x) * np.log(1 - means)
    return -float(np.mean(np.sum(likelihood, axis=-1)))


CASE = Case(
    "variational",
    load,
    VariationalAutoencoder,
    lambda model, make: model.compile(make()),
    lambda held_back: held_back["loss"],
    independent_pixels,
    epochs=60,
    patience=3,
)
