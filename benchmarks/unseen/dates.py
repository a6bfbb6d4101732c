"""Encoder and decoder with attention that read dates in eight languages."""

import keras
from keras import layers

from benchmarks.unseen_data import locales
from benchmarks.workload import Workload, cross_entropy

WIDTH = 32


def build():
    inputs = keras.Input((locales.DATE + locales.DIGITS,), dtype="int32")
    written, before = inputs[:, : locales.DATE], inputs[:, locales.DATE :]
    encoded, state = layers.GRU(WIDTH, return_sequences=True, return_state=True)(
        layers.Embedding(locales.SYMBOLS, 16)(written)
    )
    decoded = layers.GRU(WIDTH, return_sequences=True)(
        layers.Embedding(11, 16)(before), initial_state=state
    )
    attended = layers.Attention(use_scale=True)([decoded, encoded])
    x = layers.Dense(WIDTH, "tanh")(layers.Concatenate()([decoded, attended]))
    return keras.Model(inputs, layers.Dense(10)(x))


WORKLOAD = Workload("dates", locales.dates, build, cross_entropy, 64, 600, True)
