"""What a case is: data and a network, and how they are trained and judged."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from benchmarks.workload import Data

MakeOptimizer = Callable[[], keras.Optimizer]


def as_it_is(model: keras.Model) -> None:
    """Prepares nothing."""


@dataclass(frozen=True)
class Case:
    """A training as in a tutorial, its end decided by what is validated.

    Attributes:
        name: As on the command line and in the results.
        load: Callable that returns the `Data`. Its last fifth to train on is validated.
        build: Callable that returns a new Keras model, not compiled; its initial
            weights follow `keras.utils.set_random_seed`.
        compile_with: Callable that compiles it, given one that makes an optimizer.
        error: Callable that maps what `evaluate` returns for the held-back examples to
            a positive number, lower is better.
        chance: Callable of the `Data` that returns this error where nothing is learned.
        epochs: At most so many.
        patience: Epochs without a lower `monitor` before it stops.
        batch_size: Examples in a minibatch.
        monitor: What is validated, lower is better.
        stages: For each `fit`, one after the other, what is done to the model before it
            is compiled.
    """

    name: str
    load: Callable[[], Data]
    build: Callable[[], keras.Model]
    compile_with: Callable[[keras.Model, MakeOptimizer], None]
    error: Callable[[dict[str, float]], float]
    chance: Callable[[Data], float]
    epochs: int
    patience: int
    batch_size: int = 64
    monitor: str = "val_loss"
    stages: tuple[Callable[[keras.Model], None], ...] = (as_it_is,)


def compile_classifier(model: keras.Model, make: MakeOptimizer) -> None:
    """For integer targets and probabilities."""
    model.compile(make(), "sparse_categorical_crossentropy", metrics=["accuracy"])


def wrong(held_back: dict[str, float]) -> float:
    """The share of wrong predictions."""
    return 1 - held_back["accuracy"]


def wrong_by_chance(data: Data) -> float:
    """The share of wrong predictions where always the commonest class is predicted."""
    counts = np.bincount(data.y_held_back.ravel())
    return 1 - float(counts.max() / counts.sum())
