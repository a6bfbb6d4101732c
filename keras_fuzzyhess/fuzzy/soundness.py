"""Do variables and rules make a rule base that has an answer everywhere?"""

from collections.abc import Sequence

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated
from keras_fuzzyhess.fuzzy.coverage import check_covered, check_fires, situations
from keras_fuzzyhess.fuzzy.membership import on_grid
from keras_fuzzyhess.fuzzy.rule import Rule, firing
from keras_fuzzyhess.fuzzy.signals import SIGNALS, check_inputs, law_of
from keras_fuzzyhess.fuzzy.variable import Variable

NARROWEST_EDGE = 1e-4
"""Least width of an input term's edge, as a share of the range. Our choice: a hundred
times the resolution of the float32 numbers in which the inputs arrive."""

SMALLEST_SET = 1e-6
"""Least width of an output term, as a share of the range, to have a centroid."""


def check_sound(
    what: str,
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    rules: Sequence[Rule],
) -> None:
    """Raises ValueError unless these are the parts of a sound rule base.

    Inputs are expected in the documented order.
    """
    check_inputs((variable.name for variable in inputs), what)
    law_of((variable.name for variable in outputs), what)
    for variable in (*inputs, *outputs):
        SIGNALS[variable.name].check_range(
            variable.low, variable.high, f"variable '{variable.name}'"
        )
    of_inputs = []
    for variable in inputs:
        _check_edges(variable)
        of_inputs.append(situations(variable))
        check_covered(of_inputs[-1])
    for number, rule in enumerate(rules, 1):
        this = f"rule {number} ('{abbreviated(str(rule))[1:-1]}')"
        _check_names(f"The antecedent of {this}", rule.antecedent, "inputs", inputs)
        _check_names(f"The consequent of {this}", rule.consequent, "outputs", outputs)
        _check_sets(this, rule, outputs)
    strengths = on_grid([one.strengths for one in of_inputs])
    fired = np.max([firing(rule, inputs, strengths) for rule in rules], axis=0)
    check_fires(fired, of_inputs, f"{what} must have a rule of positive weight for")


def _check_edges(variable: Variable) -> None:
    """Raises if the membership of an input term jumps inside the range.

    A jump would be a jump of the control surface, which an interpolated table cannot
    follow. At the ends of the range a vertical edge is harmless.
    """
    width = NARROWEST_EDGE * (variable.high - variable.low)
    for term in variable.terms:
        a, b, c, d = term.corners(variable.low, variable.high)
        rises = b - a >= width or a == b == variable.low
        falls = d - c >= width or c == d == variable.high
        if not rises or not falls:
            raise ValueError(
                f"Each edge of input term '{term.name}' of variable '{variable.name}' "
                f"must be at least {width:g} wide, or vertical at the end of the "
                f"range: inside it, the control surface would jump. Move the points "
                f"of the edge apart. Received: {term.points}"
            )


def _check_names(
    what: str, given: dict[str, str], kind: str, variables: Sequence[Variable]
) -> None:
    known = {variable.name: variable.term_names for variable in variables}
    for name, term in given.items():
        if name not in known:
            raise ValueError(
                f"{what} must name {kind} of the rule base only; these are "
                f"{', '.join(known)}. Received: '{name}'"
            )
        if term not in known[name]:
            raise ValueError(
                f"{what} must name a term that {name} has; these are "
                f"{', '.join(known[name])}. Received: '{term}'"
            )


def _check_sets(what: str, rule: Rule, outputs: Sequence[Variable]) -> None:
    for variable in outputs:
        term = rule.consequent.get(variable.name)
        if term is None:
            raise ValueError(
                f"The consequent of {what} must name every output. Add a term of "
                f"'{variable.name}' to its `then`. Received: {rule.consequent}"
            )
        a, _, _, d = variable.corners(term)
        if d - a < SMALLEST_SET * (variable.high - variable.low):
            raise ValueError(
                f"Output term '{term}' of variable '{variable.name}', used by "
                f"{what}, must have positive area, or it has no centroid. Move "
                f"its points apart. Received: all of it at {a:g}"
            )
