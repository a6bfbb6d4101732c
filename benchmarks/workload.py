"""What a workload of the benchmark is."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import keras
import numpy as np


@dataclass(frozen=True)
class Data:
    """Examples to train on and to hold back; targets may be what the inputs are."""

    x: np.ndarray
    y: np.ndarray
    x_held_back: np.ndarray
    y_held_back: np.ndarray

    @classmethod
    def split(cls, x, y, held_back: int) -> "Data":
        """Shuffles with a fixed seed and holds back the last examples."""
        order = np.random.default_rng(0).permutation(len(x))
        x, y = x[order], y[order]
        return cls(x[:-held_back], y[:-held_back], x[-held_back:], y[-held_back:])


@dataclass(frozen=True)
class Workload:
    """A network, its data, and how many gradients a training may take.

    Attributes:
        name: As on the command line and in the results.
        load: Callable that returns the `Data`.
        build: Callable that returns a new Keras model, not compiled; its initial
            weights follow `keras.utils.set_random_seed`.
        loss: Callable of targets and predictions that returns a scalar. What the
            model's layers add by `add_loss` is added.
        batch_size: Examples in a minibatch.
        gradients: The budget in gradient evaluations.
        classifies: Whether accuracy is meaningful.
    """

    name: str
    load: Callable[[], Data]
    build: Callable[[], keras.Model]
    loss: Callable
    batch_size: int
    gradients: int
    classifies: bool = False


def by_name(*modules: ModuleType) -> dict[str, Workload]:
    """The `WORKLOAD` of each module, by its name."""
    return {module.WORKLOAD.name: module.WORKLOAD for module in modules}


def cross_entropy(y, logits):
    """Mean over all predictions, of integer targets."""
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    )


def summed_binary_cross_entropy(y, logits):
    """Summed over an example's pixels, averaged over examples."""
    pixels = keras.ops.binary_crossentropy(y, logits, from_logits=True)
    return keras.ops.mean(keras.ops.sum(pixels, axis=-1))


def half_squared_error(y, prediction):
    """Summed over an example's outputs, averaged over examples."""
    return 0.5 * keras.ops.mean(keras.ops.sum((prediction - y) ** 2, axis=-1))
