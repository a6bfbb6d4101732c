"""U-Net that takes the noise out of patches of colour photographs."""

import keras
from keras import layers, ops

from benchmarks.unseen_data import photographs
from benchmarks.workload import Workload


def mean_absolute_error(y, prediction):
    """Over all pixels and colours."""
    return ops.mean(ops.abs(prediction - y))


def convolution(x, filters):
    return layers.Conv2D(filters, 3, padding="same", activation="relu")(x)


def build():
    side = photographs.NOISY_SIDE
    inputs = x = keras.Input((side, side, 3))
    kept = []
    for filters in (8, 16):
        x = convolution(x, filters)
        kept.append(x)
        x = layers.MaxPooling2D()(x)
    x = convolution(x, 32)
    for filters in (16, 8):
        x = layers.Concatenate()([layers.UpSampling2D()(x), kept.pop()])
        x = convolution(x, filters)
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


WORKLOAD = Workload(
    "denoising", photographs.noisy_patches, build, mean_absolute_error, 16, 800
)
