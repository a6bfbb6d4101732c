"""The three kinds of variation of a rule base: breakpoints, weights and outputs.

A tuner draws each hyperparameter by itself and knows nothing of an order between them.
So breakpoints are broken off a stick from 0 to 1, each from what the last break has
left. The fraction `u_i` says where the i-th of n breaks falls among the places it can
take:

    y_i = y_{i-1} + (1 - y_{i-1}) (1 - (1 - u_i)**(1 / (n - i + 1))) ,   y_0 = 0

Independent uniform `u_i` make the `y_i` uniformly distributed over all ordered points
(`u_i` is the distribution function of the smallest of the n - i + 1 points that are
left), and each set of ordered points has one set of fractions: nothing is redundant.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras_tuner

from keras_fuzzyhess.fuzzy import Rule, RuleBase, Term, Variable

PREFIX = "rule_base/"
"""How the names of all hyperparameters of the search space begin."""

SAME = 1e-6
"""What counts as the default value: single precision, as KerasTuner's messages between
processes have it."""

SMALLEST_GAP = 0.02
"""Least distance of neighbouring breakpoints, as a share of the variable's range. Our
choice: two hundred times the narrowest edge that a rule base may have."""

SMALLEST_WEIGHT = 0.05
"""Least weight of a rule. Our choice: above 0, for then it would leave a gap."""

LARGEST_FACTOR = 4.0
"""Largest change of an output's peak or memory, up or down. Our choice."""


def breakpoints(hp: keras_tuner.HyperParameters, variable: Variable) -> Variable:
    """An input variable with its breakpoints moved along its range.

    Terms that share a breakpoint go on sharing it, and the order is kept, so that
    whatever was covered by some term still is. One hyperparameter for each different
    breakpoint, `rule_base/<variable>/point_<i>` in [0, 1]: a fraction of what the
    breakpoint before it has left of the range, as `tuner/variation.py` tells, less a
    least gap of 0.02 of the range between any two. A breakpoint at an end of the range
    where a term begins with a vertical edge stays.

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
    _check_kind("variable", variable, Variable)
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
    defaults = _fractions_of(
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
        for point, offset, y in zip(free, offsets, _ordered_points(values), strict=True)
    }
    return _with_points(variable, lambda point: moved.get(point, point))


def _is_pinned(variable: Variable, point: float) -> bool:
    """Whether a term has a vertical edge there, which is sound at an end only."""
    return any(
        (point == variable.low and term.points[:2] == (point, point))
        or (point == variable.high and term.points[-2:] == (point, point))
        for term in variable.terms
    )


def _ordered_points(fractions: Sequence[float]) -> list[float]:
    """Breaks the stick: from the `u_i` the `y_i`.

    >>> _ordered_points([0.75, 0.5])
    [0.5, 0.75]
    """
    points = []
    last = 0.0
    for left, fraction in zip(range(len(fractions), 0, -1), fractions, strict=True):
        last += (1 - last) * (1 - (1 - fraction) ** (1 / left))
        points.append(last)
    return points


def _fractions_of(points: Sequence[float]) -> list[float]:
    """The inverse; 0 for points after one at 1, where nothing is left to break.

    >>> _fractions_of([0.5, 0.75])
    [0.75, 0.5]
    """
    fractions = []
    last = 0.0
    for left, point in zip(range(len(points), 0, -1), points, strict=True):
        share = (point - last) / (1 - last) if last < 1 else 0.0
        fractions.append(1 - (1 - share) ** left)
        last = point
    return fractions


def rule_weights(hp: keras_tuner.HyperParameters, base: RuleBase) -> tuple[Rule, ...]:
    """The rules of a rule base with other weights.

    Rules with the same finding about the loss trend share a weight, for what is in
    doubt is how far that finding can be trusted. Of the default rule base:

    | hyperparameter | rules |
    |---|---|
    | `rule_base/weight/rising` | rising and early, middle, late |
    | `rule_base/weight/flat` | flat and early, middle, late |
    | `rule_base/weight/falling` | falling and early, middle, late |

    Rules that do not ask for the trend share `rule_base/weight/any`. The value, in
    [0.05, 1], is the largest weight of these rules; the others keep their ratio to it.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        base: A `RuleBase`.

    Returns:
        Tuple of `Rule`, in the order of the base.

    Raises:
        TypeError: if `base` is no `RuleBase`.

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.Fixed("rule_base/weight/flat", 0.5)
    0.5
    >>> [rule.weight for rule in rule_weights(hp, paper_rule_base())]
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    """
    _check_kind("base", base, RuleBase)
    findings = [rule.antecedent.get("loss_trend", "any") for rule in base.rules]
    largest: dict[str, float] = {}
    for rule, finding in zip(base.rules, findings, strict=True):
        largest[finding] = max(largest.get(finding, 0.0), rule.weight)
    factors = {}
    for finding, default in largest.items():
        if default == 0.0:  # rules that are switched off stay so
            factors[finding] = 1.0
            continue
        name = f"{PREFIX}weight/{finding}"
        weight = hp.Float(name, min(SMALLEST_WEIGHT, default), 1.0, default=default)
        factors[finding] = 1.0 if abs(weight - default) <= SAME else weight / default
    return tuple(
        replace(rule, weight=min(rule.weight * factors[finding], 1.0))
        for rule, finding in zip(base.rules, findings, strict=True)
    )


def outputs(hp: keras_tuner.HyperParameters, variable: Variable) -> Variable:
    """An output variable with its terms moved.

    - `gain_rate` and `gain`: `rule_base/<variable>/<term>` is a factor of the term's
      peak (the middle of its core). The term is shifted there and keeps its width. A
      term with its peak at 0 means "hold" and has no hyperparameter.
    - `beta_3`: `rule_base/beta_3/memory` is a factor `f` of all memory lengths
      `1 / (1 - beta_3)`, so each point `p` moves to `1 - (1 - p) / f`.

    Factors are searched on a logarithmic scale within [1/4, 4], or less where the
    terms would leave the variable's range.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        variable: An output of a `RuleBase`.

    Returns:
        A `Variable` with the same range and terms.

    Raises:
        TypeError: if `variable` is no `Variable`.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.Fixed("rule_base/beta_3/memory", 0.5)
    0.5
    >>> terms = outputs(hp, default_rule_base().outputs[1]).terms
    >>> [round(term.points[1], 3) for term in terms]
    [0.6, 0.8, 0.9]
    """
    _check_kind("variable", variable, Variable)
    low, high = variable.low, variable.high

    def within(point: float) -> float:
        return min(max(point, low), high)

    if variable.name == "beta_3":
        points = [point for term in variable.terms for point in term.points]
        least, most = (1 - min(points)) / (1 - low), (1 - max(points)) / (1 - high)
        factor = _factor(hp, f"{PREFIX}beta_3/memory", least, most)
        if factor == 1.0:
            return variable
        return _with_points(variable, lambda p: within(1 - (1 - p) / factor))
    terms = []
    for term in variable.terms:
        _, b, c, _ = term.corners(low, high)
        peak = (b + c) / 2
        if abs(peak) <= SAME * (high - low):
            terms.append(term)
            continue
        down, up = term.points[0] - low, high - term.points[-1]
        away, back = (up, down) if peak > 0 else (down, up)
        name = f"{PREFIX}{variable.name}/{term.name}"
        factor = _factor(hp, name, 1 - back / abs(peak), 1 + away / abs(peak))
        shift = peak * (factor - 1)
        shifted = tuple(within(p + shift) for p in term.points)
        terms.append(term if factor == 1.0 else replace(term, points=shifted))
    return replace(variable, terms=tuple(terms))


def _factor(
    hp: keras_tuner.HyperParameters, name: str, least: float, most: float
) -> float:
    # Rounding may have put 1 outside; a term that cannot move has no hyperparameter.
    least = min(max(least, 1 / LARGEST_FACTOR), 1.0)
    most = max(min(most, LARGEST_FACTOR), 1.0)
    if most / least < 1 + 1e-3:
        return 1.0
    factor = hp.Float(name, least, most, sampling="log", default=1.0)
    return 1.0 if abs(factor - 1) <= SAME else factor


def _with_points(variable: Variable, move: Callable[[float], float]) -> Variable:
    """The variable with every point of its terms moved."""

    def moved(term: Term) -> Term:
        return replace(term, points=tuple(move(point) for point in term.points))

    return replace(variable, terms=tuple(moved(term) for term in variable.terms))


def _check_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(
            f"`{name}` must be a `{kind.__name__}` of `keras_fuzzyhess.fuzzy`. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
