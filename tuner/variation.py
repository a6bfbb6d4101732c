"""What the three kinds of variation of a rule base share."""

from collections.abc import Callable
from dataclasses import replace

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
