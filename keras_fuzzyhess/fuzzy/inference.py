r"""Mamdani inference over whole grids of inputs, with the exact centroid.

Mamdani and Assilian (1975), as scikit-fuzzy 0.5.0 has it. A rule `i` of weight `w_i`
fires with the strength

    f_i = w_i min(mu_i(first input), mu_i(second input), ...),

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

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import numpy as np

from keras_fuzzyhess.fuzzy.membership import crossings, memberships, on_grid
from keras_fuzzyhess.fuzzy.rule import firing
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzy.variable import Variable

_Piece = tuple[float, float, list[float], list[float]]
"""A range of levels over which the edges of an overlap are linear, and polynomials of
the level, highest power first: area and moment up to it, but for a constant."""


def infer(rule_base: RuleBase, *values: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of a rule base at all combinations of inputs, exact.

    This is the reference of the tables; the optimizer looks up a `ControlSurface`.

    Args:
        rule_base: The rule base.
        *values: A float64 array [N] for each of its inputs, in their order, clipped
            into the variable's range.

    Returns:
        float64 array for each output name, with one axis for each input: [N, M] for
        two.

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> beta_3 = infer(paper_rule_base(), [0.0, 1.0], [1.0])["beta_3"]
    >>> beta_3.shape
    (2, 1)
    """
    inputs, outputs = rule_base.inputs, rule_base.outputs
    grid = on_grid(_strengths(rule_base, values))
    cuts: dict[str, dict[str, np.ndarray]] = {output.name: {} for output in outputs}
    for rule in rule_base.rules:
        fired = firing(rule, inputs, grid)
        for output, term in rule.consequent.items():
            cuts[output][term] = np.maximum(cuts[output].get(term, 0.0), fired)
    return {output.name: centroids(output, cuts[output.name]) for output in outputs}


def firing_strengths(rule_base: RuleBase, *values: np.ndarray) -> np.ndarray:
    """How strongly each rule fires along a path through the inputs.

    Args:
        rule_base: A rule base of R rules.
        *values: A float64 array [K] for each of its inputs, as in `infer`.

    Returns:
        float64 array [R, K] of the strengths `f_i` above, in [0, 1].

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> firing_strengths(paper_rule_base(), [1.0, 0.0], [0.0, 1.0]).max(axis=0)
    array([1., 1.])
    """
    strengths = _strengths(rule_base, values)
    return np.stack(
        [firing(rule, rule_base.inputs, strengths) for rule in rule_base.rules]
    )


def _strengths(rule_base: RuleBase, values: Sequence) -> list[np.ndarray]:
    """Memberships of values of all inputs, clipped into their ranges."""
    return [
        memberships(v, np.clip(np.asarray(of_one, float), v.low, v.high))
        for v, of_one in zip(rule_base.inputs, values, strict=True)
    ]


def centroids(output: Variable, cuts: dict[str, np.ndarray]) -> np.ndarray:
    """Centroids of aggregated sets, exact.

    Args:
        output: The output variable.
        cuts: float64 arrays of one shape: the levels in [0, 1] at which the terms of
            these names are cut. At each point one term of positive area must have a
            positive cut.

    Returns:
        float64 array of the same shape, in the unit of the output.
    """
    shape = np.shape(next(iter(cuts.values())))
    area, moment = totals = np.zeros((2, int(np.prod(shape))))
    used = [name for name in output.term_names if np.any(cuts.get(name, 0.0) > 0.0)]
    width = output.high - output.low
    # In units of the range, so that no rounding error depends on where it lies.
    corners = [(np.array(output.corners(name)) - output.low) / width for name in used]
    for members, pieces in _overlaps(corners):
        sign = 1.0 if len(members) % 2 else -1.0
        cut = reduce(np.minimum, (cuts[used[member]] for member in members)).ravel()
        # Most terms are cut at 0 nearly everywhere.
        places = np.flatnonzero(cut)
        for low, high, *integrals in pieces:
            level = np.clip(cut[places], low, high)
            for total, integral in zip(totals, integrals, strict=True):
                below = np.polyval(integral, low)
                total[places] += sign * (np.polyval(integral, level) - below)
    return output.low + width * np.clip(moment / area, 0.0, 1.0).reshape(shape)


def _overlaps(corners: list[np.ndarray]) -> list[tuple[tuple[int, ...], list[_Piece]]]:
    """All sets of terms that have an overlap of positive area, with its pieces."""
    found = []
    larger: list[tuple[int, ...]] = [(member,) for member in range(len(corners))]
    while larger:
        # A set overlaps only if the set without its last member does.
        tried = [
            (members, _pieces([corners[t] for t in members])) for members in larger
        ]
        kept = [(members, pieces) for members, pieces in tried if pieces]
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
        area = [(q_run - p_run) / 2, q - p, 0.0]
        cubic = (q_run * q_run - p_run * p_run) / 6
        moment = [cubic, (q * q_run - p * p_run) / 2, (q * q - p * p) / 2, 0.0]
        pieces.append((low, high, area, moment))
    return pieces
