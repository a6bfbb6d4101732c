"""Transfer learning by Keras's guide: a new head on a frozen base, then both.

The base has learned half of the classes of Fashion-MNIST, the head is for the others,
of which there are few examples.
"""

import functools

import keras
import numpy as np
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case, compile_classifier, wrong, wrong_by_chance
from benchmarks.workload import Data

CLASSES = 5
"""Those below are the base's, the others the head's."""

EXAMPLES = 800
"""To train on and to validate."""


def base():
    found = [keras.Input((14, 14, 1))]
    for filters in (16, 32):
        found += [
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
        ]
    return keras.Sequential([*found, layers.Flatten()])


@functools.cache
def pretrained() -> list[np.ndarray]:
    """Weights of the base, which Adam has trained on its classes."""
    keras.utils.set_random_seed(0)
    data = datasets.halved_fashion_mnist()
    own = data.y[:20_000] < CLASSES
    model = keras.Sequential([base(), layers.Dense(CLASSES, "softmax")])
    compile_classifier(model, keras.optimizers.Adam)
    model.fit(data.x[:20_000][own], data.y[:20_000][own], 128, epochs=3, verbose=0)
    return model.layers[0].get_weights()


def load() -> Data:
    pretrained()  # before the seed is set for the training
    data = datasets.halved_fashion_mnist()
    others, held_back = data.y >= CLASSES, data.y_held_back >= CLASSES
    return Data(
        data.x[others][:EXAMPLES],
        data.y[others][:EXAMPLES] - CLASSES,
        data.x_held_back[held_back],
        data.y_held_back[held_back] - CLASSES,
    )


def build():
    inputs = keras.Input((14, 14, 1))
    network = base()
    network.set_weights(pretrained())
    # As in the guide. Keras overrules it in `fit`: unfrozen, BatchNorm trains.
    x = layers.Dropout(0.2)(network(inputs, training=False))
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def freeze(model):
    model.layers[1].trainable = False


def unfreeze(model):
    model.layers[1].trainable = True


CASE = Case(
    "transfer",
    load,
    build,
    compile_classifier,
    wrong,
    wrong_by_chance,
    epochs=30,
    patience=5,
    batch_size=32,
    stages=(freeze, unfreeze),
)
