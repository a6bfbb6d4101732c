r"""Mamdani inference over whole grids of inputs, with the exact centroid.

Mamdani and Assilian (1975), as scikit-fuzzy 0.5.0 has it. A rule `i` of weight `w_i`
fires with the strength

    f_i = w_i min(mu_i(loss_trend), mu_i(progress)),

the minimum over the inputs that it names. A term `t` of an output is cut at

    c_t = max of f_i over the rules i that name it,

and the output is the centroid of the aggregated set

    A(z) = max over t of min(c_t, mu_t(z)).

scikit-fuzzy samples `A` on a universe. Here its area and moment are exact. By
inclusion and exclusion of maxima and minima

    area = sum over non-empty sets S of terms of
           (-1)^(|S|+1) integral of min(c_S, mu_S(z)) dz,

with `c_S` and `mu_S` the minima of `c_t` and `mu_t` over S. The cut of `mu_S` at the
level `l` is the interval from the right-most left edge to the left-most right edge of
its terms, both piecewise linear in `l`. Hence each integral, taken over levels from 0
to `c_S`, is a quadratic polynomial of `c_S` on each of a few pieces, and the moment a
cubic one. Only sets of terms that all overlap count: single terms and neighbours.
"""

from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_fuzzyhess.fuzzy.membership import crossings, memberships, on_grid
from keras_fuzzyhess.fuzzy.rule import firing
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzy.variable import Variable


def infer(
    rule_base: RuleBase, loss_trend: np.ndarray, progress: np.ndarray
) -> dict[str, np.ndarray]:
    """The outputs of a rule base at all pairs of inputs, exact.

    This is the reference of the tables; the optimizer looks up a `ControlSurface`.

    Args:
        rule_base: The rule base.
        loss_trend: float64 array [N], clipped into the variable's range.
        progress: float64 array [M], clipped likewise.

    Returns:
        float64 array [N, M] for each output name.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> beta_3 = infer(default_rule_base(), [1.0], [1.0])["beta_3"]
    >>> beta_3.shape
    (1, 1)
    """
    grid = on_grid(_strengths(rule_base, loss_trend, progress))
    fired = [firing(rule, rule_base.inputs, grid) for rule in rule_base.rules]
    cuts = {
        output.name: {term: np.zeros(fired[0].shape) for term in output.term_names}
        for output in rule_base.outputs
    }
    for rule, strength in zip(rule_base.rules, fired, strict=True):
        for output, term in rule.consequent.items():
            np.maximum(cuts[output][term], strength, out=cuts[output][term])
    return {
        output.name: centroids(output, cuts[output.name])
        for output in rule_base.outputs
    }


def firing_strengths(
    rule_base: RuleBase, loss_trend: np.ndarray, progress: np.ndarray
) -> np.ndarray:
    """How strongly each rule fires along a path through the input square.

    Args:
        rule_base: A rule base of R rules.
        loss_trend: float64 array [K], clipped into the variable's range.
        progress: float64 array [K], clipped likewise.

    Returns:
        float64 array [R, K] of the strengths `f_i` above, in [0, 1].

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> firing_strengths(default_rule_base(), [1.0, 0.0], [0.0, 1.0]).max(axis=0)
    array([1., 1.])
    """
    strengths = _strengths(rule_base, loss_trend, progress)
    return np.stack(
        [firing(rule, rule_base.inputs, strengths) for rule in rule_base.rules]
    )


def _strengths(rule_base: RuleBase, *values: np.ndarray) -> list[np.ndarray]:
    """Memberships of values of both inputs, clipped into their ranges."""
    return [
        # Clipped, for a float32 number may round across the end.
        memberships(
            variable, np.clip(np.asarray(of_one, float), variable.low, variable.high)
        )
        for variable, of_one in zip(rule_base.inputs, values, strict=True)
    ]


def centroids(output: Variable, cuts: dict[str, np.ndarray]) -> np.ndarray:
    """Centroids of aggregated sets, exact.

    Args:
        output: The output variable.
        cuts: float64 array of one shape for each term name: the level in [0, 1] at
            which the term is cut. At each point one term of positive area must have a
            positive cut.

    Returns:
        float64 array of the same shape, in the unit of the output.

    Example:

    >>> from keras_fuzzyhess.fuzzy import Term, Variable
    >>> low, high = (0, 1, 2), (2, 3, 4)
    >>> terms = (Term("low", "triangle", low), Term("high", "triangle", high))
    >>> gain = Variable("gain", 0.0, 4.0, terms)
    >>> centroids(gain, {"low": np.array([1.0, 0.5]), "high": np.array([0.0, 0.5])})
    array([1., 2.])
    """
    shape = np.shape(next(iter(cuts.values())))
    area, moment = np.zeros((2, int(np.prod(shape))))
    used = [name for name in output.term_names if np.any(cuts[name] > 0.0)]
    width = output.high - output.low
    # In units of the range, so that no rounding error depends on where it lies.
    corners = [(np.array(output.corners(name)) - output.low) / width for name in used]
    for members, pieces in _overlaps(corners):
        sign = 1.0 if len(members) % 2 else -1.0
        cut = reduce(np.minimum, (cuts[used[member]] for member in members)).ravel()
        # Most terms are cut at 0 nearly everywhere.
        places = np.flatnonzero(cut)
        cut = cut[places]
        for piece in pieces:
            level = np.clip(cut, piece.low, piece.high)
            for total, polynomial in ((area, piece.area), (moment, piece.moment)):
                below = _polynomial(polynomial, piece.low)
                total[places] += sign * (_polynomial(polynomial, level) - below)
    return output.low + width * np.clip(moment / area, 0.0, 1.0).reshape(shape)


class _Piece(NamedTuple):
    """A range of levels over which the edges of an overlap are linear.

    `area` and `moment` are the coefficients of `l`, `l^2`, ... of the integrals from
    level 0 to `l`.
    """

    low: float
    high: float
    area: tuple[float, ...]
    moment: tuple[float, ...]


def _overlaps(corners: list[np.ndarray]) -> list[tuple[tuple[int, ...], list[_Piece]]]:
    """All sets of terms that have an overlap of positive area, with its pieces."""
    found = []
    larger: list[tuple[int, ...]] = [(member,) for member in range(len(corners))]
    while larger:
        # A set overlaps only if the set without its last member does.
        kept = [
            (s, pieces) for s in larger if (pieces := _pieces([corners[t] for t in s]))
        ]
        found += kept
        larger = [
            (*members, further)
            for members, _ in kept
            for further in range(members[-1] + 1, len(corners))
        ]
    return found


def _pieces(corners: list[np.ndarray]) -> list[_Piece]:
    """The pieces of the minimum of some trapezoids, from the lowest level up."""
    left = [(a, b - a) for a, b, _, _ in corners]
    right = [(d, c - d) for _, _, c, d in corners]
    kinks = {0.0, 1.0, *(float(level) for level, _ in crossings(left + right))}
    pieces = []
    for low, high in pairwise(sorted(kinks)):
        middle = (low + high) / 2
        p, p_run = max(left, key=lambda edge: edge[0] + edge[1] * middle)
        q, q_run = min(right, key=lambda edge: edge[0] + edge[1] * middle)
        if p + p_run * middle >= q + q_run * middle:
            break
        # Integrals over the level l of q(l) - p(l) and of (q(l)^2 - p(l)^2) / 2.
        area = (q - p, (q_run - p_run) / 2)
        moment = (
            (q * q - p * p) / 2,
            (q * q_run - p * p_run) / 2,
            (q_run * q_run - p_run * p_run) / 6,
        )
        pieces.append(_Piece(low, high, area, moment))
    return pieces


def _polynomial(
    coefficients: tuple[float, ...], level: np.ndarray | float
) -> np.ndarray | float:
    """`c_1 l + c_2 l^2 + ...` by Horner's rule."""
    value: np.ndarray | float = 0.0
    for coefficient in reversed(coefficients):
        value = (value + coefficient) * level
    return value
