"""Small causal transformer that predicts the next character."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.workload import Workload, cross_entropy

WIDTH, HEADS, BLOCKS = 32, 2, 2


@keras.saving.register_keras_serializable(package="benchmarks")
class Positions(layers.Layer):
    """Adds a learned vector to each position."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="normal")

    def call(self, x):
        return x + self.table


def block(x):
    y = layers.LayerNormalization()(x)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)
    x = x + attention(y, y, use_causal_mask=True)
    y = layers.LayerNormalization()(x)
    return x + layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, "gelu")(y))


def build():
    tokens = keras.Input((datasets.WINDOW,), dtype="int32")
    x = Positions()(layers.Embedding(datasets.ALPHABET, WIDTH)(tokens))
    for _ in range(BLOCKS):
        x = block(x)
    x = layers.LayerNormalization()(x)
    return keras.Model(tokens, layers.Dense(datasets.ALPHABET)(x))


WORKLOAD = Workload("transformer", datasets.text, build, cross_entropy, 16, 800, True)
