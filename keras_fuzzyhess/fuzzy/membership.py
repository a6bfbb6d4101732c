"""Membership functions over points: their values, and where they bend and cross."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import skfuzzy

from keras_fuzzyhess.fuzzy.variable import Variable


def memberships(variable: Variable, values: np.ndarray) -> np.ndarray:
    """Memberships [T, N] of N values in T terms, by scikit-fuzzy's own functions.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> loss_trend = default_rule_base().inputs[0]
    >>> memberships(loss_trend, np.array([-0.7, 0.5])).T.round(3)
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 1. ]])
    """
    corners = map(variable.corners, variable.term_names)
    return np.stack([skfuzzy.trapmf(values, of_term) for of_term in corners])


def on_grid(strengths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Memberships [T, N] and [U, M] as [T, N, 1] and [U, 1, M], and so on."""
    count = len(strengths)
    return [
        np.expand_dims(of_one, [1 + other for other in range(count) if other != axis])
        for axis, of_one in enumerate(strengths)
    ]


def with_middles(points: np.ndarray) -> np.ndarray:
    """Ascending points [N] and the middles between neighbours: [2 N - 1].

    Example:

    >>> with_middles(np.array([0.0, 1.0, 4.0]))
    array([0. , 0.5, 1. , 2.5, 4. ])
    """
    fine = np.empty(2 * len(points) - 1, points.dtype)
    fine[::2], fine[1::2] = points, points[:-1] / 2 + points[1:] / 2
    return fine


def crossings(edges: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where two edges of membership functions cross: membership in (0, 1), and value.

    Args:
        edges: Of each edge the value at its foot, where the membership is 0, and how
            far it runs from there to its head, where it is 1.

    Example: one that rises from 0 to 2, and one that falls from 2 to 1.

    >>> crossings([(0.0, 2.0), (2.0, -1.0)])
    [(0.6666666666666666, 1.3333333333333333)]
    """
    found = []
    for (foot, run), (other_foot, other_run) in combinations(edges, 2):
        if run != other_run:
            level = (other_foot - foot) / (run - other_run)
            if 0.0 < level < 1.0:
                found.append((level, foot + level * run))
    return found
