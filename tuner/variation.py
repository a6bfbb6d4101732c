"""What the three kinds of variation of a rule base share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keras_fuzzyhess.fuzzy import Term, Variable

PREFIX = "rule_base/"
"""How the names of all hyperparameters of the search space begin."""

SAME = 1e-6
"""What counts as the default value: single precision, as KerasTuner's messages between
processes have it."""


def with_points(variable: Variable, move: Callable[[float], float]) -> Variable:
    """The variable with every point of its terms moved.

    Args:
        variable: A `Variable`.
        move: Takes a point and returns where it goes.

    Returns:
        A `Variable` with the same range and names.
    """

    def moved(term: Term) -> Term:
        return replace(term, points=tuple(move(point) for point in term.points))

    return replace(variable, terms=tuple(moved(term) for term in variable.terms))


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raises a `TypeError` unless the argument is of a kind.

    Example:

    >>> check_kind("variable", "gain", Variable)
    Traceback (most recent call last):
        ...
    TypeError: `variable` must be a `Variable` of `keras_fuzzyhess.fuzzy`. Received: \
variable='gain' (of type str)
    """
    if not isinstance(value, kind):
        raise TypeError(
            f"`{name}` must be a `{kind.__name__}` of `keras_fuzzyhess.fuzzy`. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
