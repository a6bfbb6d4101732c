"""How each loss of Keras is made, and data for it."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, losses

ROWS = 10
"""With minibatches of four the last one is not full."""

CLASSES = 3

LEFT_OUT = {"Loss": "a base class"}


def _rng():
    return np.random.default_rng(1)


def _labels():
    return _rng().integers(0, CLASSES, ROWS)


def _one_hot():
    return np.eye(CLASSES, dtype="float32")[_labels()]


def _numbers():
    return _rng().uniform(0.2, 1.5, (ROWS, CLASSES)).astype("float32")


def _signs():
    return _rng().choice([-1.0, 1.0], (ROWS, CLASSES)).astype("float32")


def _words():
    """Two symbols for each row, none of them the blank."""
    return _rng().integers(1, CLASSES, (ROWS, 2))


_TARGETS = {
    None: _numbers,
    "tanh": _signs,
    "sigmoid": lambda: (_signs() + 1) / 2,
    "softmax": _one_hot,
    "softplus": _numbers,
}

_ACTIVATION_OF = {
    "BinaryCrossentropy": "sigmoid",
    "BinaryFocalCrossentropy": "sigmoid",
    "CategoricalCrossentropy": "softmax",
    "CategoricalFocalCrossentropy": "softmax",
    "CategoricalHinge": "softmax",
    "CosineSimilarity": None,
    "Dice": "sigmoid",
    "Hinge": "tanh",
    "Huber": None,
    "KLDivergence": "softmax",
    "LogCosh": None,
    "MeanAbsoluteError": None,
    "MeanAbsolutePercentageError": None,
    "MeanSquaredError": None,
    "MeanSquaredLogarithmicError": "softplus",
    "Poisson": "softplus",
    "SquaredHinge": "tanh",
    "Tversky": "sigmoid",
}

Cell = tuple[Callable[[], losses.Loss], list[Callable[[], keras.Layer]], np.ndarray]

LOSSES: dict[str, Cell] = {
    name: (
        getattr(losses, name),
        [lambda activation=activation: layers.Dense(CLASSES, activation)],
        _TARGETS[activation](),
    )
    for name, activation in _ACTIVATION_OF.items()
} | {
    "CTC": (
        losses.CTC,
        [lambda: layers.Dense(5 * CLASSES), lambda: layers.Reshape((5, CLASSES))],
        _words(),
    ),
    "CategoricalGeneralizedCrossEntropy": (
        losses.CategoricalGeneralizedCrossEntropy,
        [lambda: layers.Dense(CLASSES, "softmax")],
        _labels(),
    ),
    "Circle": (
        lambda: losses.Circle(gamma=4.0),
        [lambda: layers.Dense(CLASSES), layers.UnitNormalization],
        _labels(),
    ),
    "SparseCategoricalCrossentropy": (
        lambda: losses.SparseCategoricalCrossentropy(from_logits=True),
        [lambda: layers.Dense(CLASSES)],
        _labels(),
    ),
}
"""By name: what makes the loss, the last layers of the network, and the targets."""
