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

from __future__ import annotations

from functools import reduce
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import skfuzzy

from keras_fuzzyhess.fuzzy.variable import Variable

if TYPE_CHECKING:
    from keras_fuzzyhess.fuzzy.rule import Rule
    from keras_fuzzyhess.fuzzy.rule_base import RuleBase


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
    strengths = _input_strengths(rule_base, loss_trend, progress)
    shape = (strengths[0].shape[1], strengths[1].shape[1])
    cuts = {
        output.name: {term: np.zeros(shape) for term in output.term_names}
        for output in rule_base.outputs
    }
    grid = (strengths[0][:, :, np.newaxis], strengths[1][:, np.newaxis, :])
    for rule in rule_base.rules:
        firing = _firing(rule, rule_base.inputs, grid)
        for output, term in rule.consequent.items():
            np.maximum(cuts[output][term], firing, out=cuts[output][term])
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
    strengths = _input_strengths(rule_base, loss_trend, progress)
    return np.stack(
        [_firing(rule, rule_base.inputs, strengths) for rule in rule_base.rules]
    )


def _input_strengths(
    rule_base: RuleBase, loss_trend: np.ndarray, progress: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Memberships of both inputs, [T, N] and [U, M]."""
    first, second = (
        memberships(
            variable,
            # Before clipping, for a float32 number may round across the end.
            np.clip(np.asarray(values, np.float64), variable.low, variable.high),
        )
        for variable, values in zip(
            rule_base.inputs, (loss_trend, progress), strict=True
        )
    )
    return first, second


def _firing(
    rule: Rule, inputs: tuple[Variable, ...], strengths: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The strength `f_i`, of the shape that the memberships broadcast to."""
    shape = np.broadcast_shapes(*(strength.shape[1:] for strength in strengths))
    named = [
        strength[variable.term_names.index(rule.antecedent[variable.name])]
        for variable, strength in zip(inputs, strengths, strict=True)
        if variable.name in rule.antecedent
    ]
    return np.broadcast_to(rule.weight * reduce(np.minimum, named), shape)


def memberships(variable: Variable, values: np.ndarray) -> np.ndarray:
    """Membership of each value in each term, by scikit-fuzzy's own functions.

    Args:
        variable: A variable with T terms.
        values: float64 array [N], inside the range.

    Returns:
        float64 array [T, N] in [0, 1].

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> loss_trend = default_rule_base().inputs[0]
    >>> memberships(loss_trend, np.array([-0.7, 0.5])).T.round(3)
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 1. ]])
    """
    return np.stack(
        [
            skfuzzy.trapmf(values, term.corners(variable.low, variable.high))
            for term in variable.terms
        ]
    )


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
            area[places] += sign * (_polynomial(piece.area, level) - piece.area_below)
            moment[places] += sign * (
                _polynomial(piece.moment, level) - piece.moment_below
            )
    return output.low + width * np.clip(moment / area, 0.0, 1.0).reshape(shape)


class _Piece(NamedTuple):
    """A range of levels over which the edges of an overlap are linear.

    `area` and `moment` are the coefficients of `l`, `l^2`, ... of the integrals up to
    the level `l`; `..._below` their values at `low`.
    """

    low: float
    high: float
    area: tuple[float, ...]
    moment: tuple[float, ...]
    area_below: float
    moment_below: float


def _overlaps(
    corners: list[np.ndarray],
) -> list[tuple[tuple[int, ...], list[_Piece]]]:
    """All sets of terms that have an overlap of positive area, with its pieces."""
    found: list[tuple[tuple[int, ...], list[_Piece]]] = []
    larger: list[tuple[int, ...]] = [(member,) for member in range(len(corners))]
    while larger:
        # A set overlaps only if the set without its last member does.
        kept = [(s, _pieces([corners[t] for t in s])) for s in larger]
        kept = [(members, pieces) for members, pieces in kept if pieces]
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
    kinks = {0.0, 1.0}
    for (p, p_slope), (q, q_slope) in combinations(left + right, 2):
        if p_slope != q_slope:
            crossing = (q - p) / (p_slope - q_slope)
            if 0.0 < crossing < 1.0:
                kinks.add(float(crossing))
    levels = sorted(kinks)
    pieces = []
    for low, high in pairwise(levels):
        middle = (low + high) / 2
        p, p_slope = max(left, key=lambda edge: edge[0] + edge[1] * middle)
        q, q_slope = min(right, key=lambda edge: edge[0] + edge[1] * middle)
        if p + p_slope * middle >= q + q_slope * middle:
            break
        # Integrals over the level l of q(l) - p(l) and of (q(l)^2 - p(l)^2) / 2.
        area = (q - p, (q_slope - p_slope) / 2)
        moment = (
            (q * q - p * p) / 2,
            (q * q_slope - p * p_slope) / 2,
            (q_slope * q_slope - p_slope * p_slope) / 6,
        )
        below = (float(_polynomial(area, low)), float(_polynomial(moment, low)))
        pieces.append(_Piece(low, high, area, moment, *below))
    return pieces


def _polynomial(
    coefficients: tuple[float, ...], level: np.ndarray | float
) -> np.ndarray | float:
    """`c_1 l + c_2 l^2 + ...` by Horner's rule."""
    value: np.ndarray | float = 0.0
    for coefficient in reversed(coefficients):
        value = (value + coefficient) * level
    return value
