"""Which pixels are clothes: a small U-Net.

Clothes from Fashion-MNIST before photographs of grass, gravel and brick, about as
bright.
"""

import keras
import numpy as np
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case
from benchmarks.workload import Data

SIZE = 32

EXAMPLES = 1_000
"""To train on and to validate."""


def load() -> Data:
    clothes = datasets.fashion_mnist_bytes()
    photographs = datasets.textures()
    random = np.random.default_rng(0)

    def composed(images):
        x = np.empty((len(images), SIZE, SIZE), "float32")
        y = np.zeros((len(images), SIZE, SIZE), "float32")
        for i, image in enumerate(images):
            photograph = photographs[random.integers(len(photographs))]
            top, left = random.integers(512 - SIZE, size=2)
            x[i] = photograph[top : top + SIZE, left : left + SIZE]
            top, left = random.integers(SIZE - 28 + 1, size=2)
            place = i, slice(top, top + 28), slice(left, left + 28)
            y[place] = image > 0
            x[place] = np.where(image > 0, image / 255, x[place])
        return x[..., None], y[..., None]

    return Data(*composed(clothes.x[:EXAMPLES]), *composed(clothes.x_held_back[:1_000]))


def convolved(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return x


def build():
    inputs = keras.Input((SIZE, SIZE, 1))
    fine = convolved(inputs, 4)
    middle = convolved(layers.MaxPooling2D()(fine), 8)
    x = convolved(layers.MaxPooling2D()(middle), 16)
    for filters, beside in ((8, middle), (4, fine)):
        x = layers.Conv2DTranspose(filters, 2, 2)(x)
        x = convolved(layers.Concatenate()([x, beside]), filters)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


def compile_segmentation(model, make):
    overlap = keras.metrics.BinaryIoU([1], name="overlap")
    model.compile(make(), "binary_crossentropy", metrics=[overlap])


CASE = Case(
    "segmentation",
    load,
    build,
    compile_segmentation,
    lambda held_back: 1 - held_back["overlap"],
    # Everything taken for clothes.
    lambda data: 1 - float(data.y_held_back.mean()),
    epochs=16,
    patience=5,
    batch_size=16,
)
