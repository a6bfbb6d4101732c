"""Search of the breakpoints of an input."""

import itertools

import keras_tuner

from keras_fuzzyhess.fuzzy import Variable
from keras_fuzzyhess.tuner.stick_breaking import fractions_of, ordered_points
from keras_fuzzyhess.tuner.variation import PREFIX, SAME, check_kind, with_points

SMALLEST_GAP = 0.02
"""Least distance of neighbouring breakpoints, as a share of the variable's range. Our
choice: two hundred times the narrowest edge that a rule base may have."""


def breakpoints(hp: keras_tuner.HyperParameters, variable: Variable) -> Variable:
    """An input variable with its breakpoints moved along its range.

    Terms that share a breakpoint go on sharing it, and the order is kept, so that
    whatever was covered by some term still is. One hyperparameter for each different
    breakpoint, `rule_base/<variable>/point_<i>` in [0, 1]: the fraction of
    `stick_breaking`, within the range that a least gap of 0.02 of the range leaves.
    A breakpoint at an end of the range where a term begins with a vertical edge stays.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        variable: An input of a `RuleBase`.

    Returns:
        A `Variable` with the same range and terms.

    Raises:
        TypeError: if `variable` is no `Variable`.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> hp = keras_tuner.HyperParameters()
    >>> progress = default_rule_base().inputs[1]
    >>> breakpoints(hp, progress) == progress
    True
    >>> sorted(hp.values)
    ['rule_base/progress/point_1', 'rule_base/progress/point_2', \
'rule_base/progress/point_3']
    """
    check_kind("variable", variable, Variable)
    low, width = variable.low, variable.high - variable.low
    points = sorted({point for term in variable.terms for point in term.points})
    pinned = {point for point in points if _is_pinned(variable, point)}
    free = [point for point in points if point not in pinned]
    gaps = [b - a for a, b in itertools.pairwise(points)]
    gap = min([SMALLEST_GAP * width, *gaps])
    before = gap if low in pinned else 0.0
    after = gap if variable.high in pinned else 0.0
    slack = width - before - after - (len(free) - 1) * gap
    # Without their gaps the points are ordered numbers on a stick of length `slack`.
    offsets = [low + before + i * gap for i in range(len(free))]
    defaults = fractions_of(
        [
            min(max((point - offset) / slack, 0.0), 1.0)
            for point, offset in zip(free, offsets, strict=True)
        ]
    )
    values = [
        hp.Float(f"{PREFIX}{variable.name}/point_{i}", 0.0, 1.0, default=default)
        for i, default in enumerate(defaults, 1)
    ]
    if all(abs(v - d) <= SAME for v, d in zip(values, defaults, strict=True)):
        return variable
    moved = {
        point: min(offset + slack * y, variable.high)
        for point, offset, y in zip(free, offsets, ordered_points(values), strict=True)
    }
    return with_points(variable, lambda point: moved.get(point, point))


def _is_pinned(variable: Variable, point: float) -> bool:
    """Whether a term has a vertical edge there, which is sound at an end only."""
    return any(
        (point == variable.low and term.points[:2] == (point, point))
        or (point == variable.high and term.points[-2:] == (point, point))
        for term in variable.terms
    )
