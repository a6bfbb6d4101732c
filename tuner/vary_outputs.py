"""Search of where the terms of an output lie."""

from dataclasses import replace

import keras_tuner

from keras_fuzzyhess.fuzzy import Variable
from keras_fuzzyhess.tuner.variation import PREFIX, SAME, check_kind, with_points

LARGEST_FACTOR = 4.0
"""Largest change of an output's peak or memory, up or down. Our choice."""


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
    check_kind("variable", variable, Variable)
    low, high = variable.low, variable.high
    if variable.name == "beta_3":
        points = [point for term in variable.terms for point in term.points]
        first, last = 1 - min(points), 1 - max(points)
        factor = _factor(
            hp, f"{PREFIX}beta_3/memory", first / (1 - low), last / (1 - high)
        )
        if factor == 1.0:
            return variable
        return with_points(
            variable, lambda p: min(max(1 - (1 - p) / factor, low), high)
        )
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
        shifted = tuple(min(max(p + shift, low), high) for p in term.points)
        terms.append(term if factor == 1.0 else replace(term, points=shifted))
    return replace(variable, terms=tuple(terms))


def _factor(
    hp: keras_tuner.HyperParameters, name: str, least: float, most: float
) -> float:
    least, most = max(least, 1 / LARGEST_FACTOR), min(most, LARGEST_FACTOR)
    # Rounding may have put 1 outside; a term that cannot move has no hyperparameter.
    least, most = min(least, 1.0), max(most, 1.0)
    if most / least < 1 + 1e-3:
        return 1.0
    factor = hp.Float(name, least, most, sampling="log", default=1.0)
    return 1.0 if abs(factor - 1) <= SAME else factor
