"""Generative adversarial network of digits by Keras's guide, with two optimizers.

What is validated and held back is how far samples are from as many images: the sliced
Wasserstein distance, the mean over directions of that of the projections.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from benchmarks import datasets
from benchmarks.practice.case import Case
from benchmarks.workload import Data

LATENT = 16

DIRECTIONS = 128


def load() -> Data:
    data = datasets.digits()
    x, x_held_back = (a.reshape(len(a), 64) for a in (data.x, data.x_held_back))
    return Data(x, x, x_held_back, x_held_back)


def directions():
    """Unit vectors, as columns, always the same."""
    found = np.random.default_rng(0).normal(size=(64, DIRECTIONS))
    return (found / np.linalg.norm(found, axis=0)).astype("float32")


def distance(a, b):
    """Between two equally large sets of images."""
    a, b = (ops.sort(ops.matmul(x, directions()), axis=0) for x in (a, b))
    return ops.mean(ops.abs(a - b))


class GAN(keras.Model):
    """A discriminator and a generator that are trained against each other."""

    def __init__(self):
        super().__init__()
        self.discriminator = keras.Sequential(
            [
                keras.Input((64,)),
                layers.Dense(128),
                layers.LeakyReLU(0.2),
                layers.Dense(64),
                layers.LeakyReLU(0.2),
                layers.Dense(1),
            ]
        )
        self.generator = keras.Sequential(
            [
                keras.Input((LATENT,)),
                layers.Dense(64),
                layers.LeakyReLU(0.2),
                layers.Dense(128),
                layers.LeakyReLU(0.2),
                layers.Dense(64, "sigmoid"),
            ]
        )
        self.seeds = keras.random.SeedGenerator()
        self.mean_distance = keras.metrics.Mean(name="distance")
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.mean_distance]

    def train_step(self, data):
        real, _ = data
        size = ops.shape(real)[0]
        noise = keras.random.normal((size, LATENT), seed=self.seeds)
        images = ops.concatenate([self.generator(noise), real], axis=0)
        labels = ops.concatenate([ops.ones((size, 1)), ops.zeros((size, 1))], axis=0)
        labels += 0.05 * keras.random.uniform(ops.shape(labels), seed=self.seeds)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(images))
        weights = self.discriminator.trainable_weights
        gradients = tape.gradient(d_loss, weights)
        self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))

        noise = keras.random.normal((size, LATENT), seed=self.seeds)
        misleading = ops.zeros((size, 1))
        with tf.GradientTape() as tape:
            judged = self.discriminator(self.generator(noise))
            g_loss = self.loss_fn(misleading, judged)
        weights = self.generator.trainable_weights
        gradients = tape.gradient(g_loss, weights)
        self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}

    def test_step(self, data):
        x, _ = data
        noise = keras.random.normal((ops.shape(x)[0], LATENT), seed=0)
        self.mean_distance.update_state(distance(self.generator(noise), x))
        return {"distance": self.mean_distance.result()}


def distance_of_the_mean(data):
    """That of samples that are all the mean image."""
    x = data.x_held_back
    mean = np.broadcast_to(data.x.mean(axis=0), x.shape)
    return float(distance(mean, x))


CASE = Case(
    "adversarial",
    load,
    GAN,
    lambda model, make: model.compile(make(), make()),
    lambda held_back: held_back["distance"],
    distance_of_the_mean,
    epochs=150,
    patience=30,
    batch_size=32,
    monitor="val_distance",
)
