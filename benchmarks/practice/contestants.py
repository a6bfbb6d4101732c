"""Who takes part in it: FuzzyHess and Adam as they are, AdamW tuned."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from benchmarks.contestants import Contestant
from keras_fuzzyhess import AveragesInValidation, FuzzyHess


@dataclass(frozen=True)
class Recipe(Contestant):
    """An optimizer, and what is said to go with it.

    Attributes:
        callbacks: Callable that returns the callbacks that come before all others.
    """

    callbacks: Callable[[], list[keras.callbacks.Callback]] = list


OURS, AS_IT_IS, TUNED = "fuzzyhess", "adam", "adamw, tuned"

RECIPES: dict[str, Recipe] = {
    OURS: Recipe(FuzzyHess, callbacks=lambda: [AveragesInValidation()]),
    AS_IT_IS: Recipe(keras.optimizers.Adam, (1e-3,)),
    TUNED: Recipe(
        lambda: keras.optimizers.AdamW(weight_decay=0.01),
        (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    ),
}
"""The first takes its learning rate, 1, as a factor; only the last is tuned."""
