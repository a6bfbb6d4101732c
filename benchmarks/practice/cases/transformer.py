"""The next character of a text: a small causal transformer with dropout."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case, compile_classifier, wrong, wrong_by_chance
from benchmarks.workload import Data
from benchmarks.workloads.transformer import Positions

WIDTH, HEADS, BLOCKS = 32, 2, 2

EXAMPLES = 4_000
"""Windows to train on and to validate."""


def load() -> Data:
    data = datasets.text()
    return Data(
        data.x[:EXAMPLES], data.y[:EXAMPLES], data.x_held_back, data.y_held_back
    )


def block(x):
    y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x, use_causal_mask=True)
    x = layers.LayerNormalization()(x + layers.Dropout(0.1)(y))
    y = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, "relu")(x))
    return layers.LayerNormalization()(x + layers.Dropout(0.1)(y))


def build():
    tokens = keras.Input((datasets.WINDOW,), dtype="int32")
    x = Positions()(layers.Embedding(datasets.ALPHABET, WIDTH)(tokens))
    for _ in range(BLOCKS):
        x = block(x)
    return keras.Model(tokens, layers.Dense(datasets.ALPHABET, "softmax")(x))


CASE = Case(
    "transformer",
    load,
    build,
    compile_classifier,
    wrong,
    wrong_by_chance,
    epochs=12,
    patience=2,
    batch_size=32,
)
