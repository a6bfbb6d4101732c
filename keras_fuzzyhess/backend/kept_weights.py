"""Weights that are kept while their averages are in the model."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_fuzzyhess.backend.saved_state import checksum

PREFIX = "kept"
"""Of the names under which they are saved: `kept:0`, `kept:0:average`."""


class _Kept(NamedTuple):
    """A weight, what it was, and the CRC-32 of the average in its place."""

    variable: keras.Variable
    weight: np.ndarray
    average: int

    @property
    def is_out(self) -> bool:
        return checksum([self.variable]) == self.average


class KeptWeights:
    """What an optimizer's weights were before their averages took the place.

    They are saved with its state, so that a file that is written meanwhile has both:
    the averages as the model's weights, and the weights from which the training goes
    on. What has been set since, by a step, a callback or a user, stays as it is.

    Attributes:
        step: Integer, the number of steps taken when the averages that are in the model
            were put in; None if there are none.

    Example:

    >>> weight, average = keras.Variable([1.0]), keras.Variable([2.0])
    >>> kept = KeptWeights()
    >>> kept.replace([weight], lambda: weight.assign(average), step=3)
    >>> weight.numpy().tolist(), kept.are_out
    ([2.0], True)
    >>> kept.put_back()
    []
    >>> weight.numpy().tolist(), kept.are_out
    ([1.0], False)
    """

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self.step: int | None = None

    def replace(
        self,
        variables: Sequence[keras.Variable],
        install: Callable[[], object],
        step: int,
    ) -> None:
        """Keeps the weights, then puts their averages in by `install`."""
        self.step = step
        weights = [np.asarray(v.numpy()) for v in variables]
        try:
            install()
        except BaseException:  # an interrupt, halfway
            for variable, weight in zip(variables, weights, strict=True):
                variable.assign(weight)
            self.forget()
            raise
        kept = [
            _Kept(variable, weight, checksum([variable]))
            for variable, weight in zip(variables, weights, strict=True)
        ]
        # A weight that equals its average tells nothing about which of them is in.
        self._kept = [k for k in kept if checksum([k.weight]) != k.average]

    @property
    def are_out(self) -> bool:
        """Whether averages are in the place of weights, now."""
        return any(kept.is_out for kept in self._kept)

    def put_back(self) -> list[keras.Variable]:
        """Puts the weights back and forgets them.

        Returns:
            List of those that have been set since, and stay as they are.
        """
        kept = self._kept
        self.forget()
        were_set = [each.variable for each in kept if not each.is_out]
        for each in kept:
            if each.is_out:
                each.variable.assign(each.weight)
        return were_set

    def forget(self) -> None:
        """What is in the model stays."""
        self._kept, self.step = [], None

    def saved(self, variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
        """What is to be saved, by name; nothing if the averages are not in.

        Args:
            variables: List of the weights that the optimizer was built with.
        """
        numbers = {id(variable): i for i, variable in enumerate(variables)}
        values = {}
        for kept in self._kept:
            if kept.is_out:
                name = f"{PREFIX}:{numbers[id(kept.variable)]}"
                values[name] = kept.weight
                values[f"{name}:average"] = np.array(kept.average, np.uint32)
        return values

    def load(
        self,
        values: Mapping[str, np.ndarray],
        variables: Sequence[keras.Variable],
        step: int,
    ) -> None:
        """Takes back what `saved` has returned, beside the same weights."""
        self._kept = [
            _Kept(
                variable,
                values[f"{PREFIX}:{i}"],
                values[f"{PREFIX}:{i}:average"].item(),
            )
            for i, variable in enumerate(variables)
            if f"{PREFIX}:{i}" in values
        ]
        self.step = step if self._kept else None


def split(
    values: Mapping[str, np.ndarray], prefix: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A saved state without what is kept under a prefix, and that.

    Example:

    >>> split({"momentum": np.zeros(1), "kept:0": np.ones(1)}, PREFIX)
    ({'momentum': array([0.])}, {'kept:0': array([1.])})
    """
    kept = {n: v for n, v in values.items() if n.startswith(f"{prefix}:")}
    return {n: v for n, v in values.items() if n not in kept}, kept
