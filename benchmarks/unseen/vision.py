"""Small vision transformer that tells photographs apart by patches of them."""

import keras
from keras import layers

from benchmarks.unseen_data import photographs
from benchmarks.workload import Workload, cross_entropy
from benchmarks.workloads.transformer import Positions

WIDTH, HEADS, BLOCKS, PATCH = 40, 4, 2, 6


def block(x):
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
    y = layers.LayerNormalization()(x)
    return x + layers.Dense(WIDTH)(layers.Dense(2 * WIDTH, "gelu")(y))


def build():
    side = photographs.SIDE
    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH)(inputs)
    x = Positions()(layers.Reshape(((side // PATCH) ** 2, WIDTH))(x))
    for _ in range(BLOCKS):
        x = block(x)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(len(photographs.SCENES))(x))


WORKLOAD = Workload("vision", photographs.scenes, build, cross_entropy, 64, 600, True)
