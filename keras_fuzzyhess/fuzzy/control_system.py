"""The parts of a rule base as a control system of scikit-fuzzy.

`skfuzzy.control` imports matplotlib, so it is imported only when one is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.membership import crossings, memberships
from keras_fuzzyhess.fuzzy.rule import Rule
from keras_fuzzyhess.fuzzy.skfuzzy_state import preserved_state
from keras_fuzzyhess.fuzzy.variable import Variable

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem


def control_system(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    rules: Sequence[Rule],
    samples: int,
) -> ControlSystem:
    """The control system, with memberships as `RuleBase.to_control_system` says."""
    from skfuzzy import control

    parts: dict[str, Any] = {}
    for variables, kind in (
        (inputs, control.Antecedent),
        (outputs, control.Consequent),
    ):
        for variable in variables:
            universe = _universe(variable, samples)
            part = parts[variable.name] = kind(universe, variable.name)
            strengths = memberships(variable, universe)
            for term, strength in zip(variable.term_names, strengths, strict=True):
                part[term] = strength
    system = control.ControlSystem(
        [
            control.Rule(
                reduce(and_, (parts[name][t] for name, t in rule.antecedent.items())),
                [parts[name][t] % rule.weight for name, t in rule.consequent.items()],
                label=f"rule {number}",
            )
            for number, rule in enumerate(rules, 1)
            if rule.weight > 0.0
        ]
    )
    # Putting the rules together has touched the state that is never released.
    with preserved_state(system):
        pass
    return system


def _universe(variable: Variable, samples: int) -> np.ndarray:
    """The points at which scikit-fuzzy is to sample a variable's terms, ascending."""
    points = {*np.linspace(variable.low, variable.high, samples), *variable.breakpoints}
    edges = []
    for a, b, c, d in map(variable.corners, variable.term_names):
        edges += [(a, b - a), (d, c - d)]
        # Interpolation between samples would slant a vertical edge.
        if a == b > variable.low:
            points.add(float(np.nextafter(a, -np.inf)))
        if c == d < variable.high:
            points.add(float(np.nextafter(d, np.inf)))
    points.update(value for _, value in crossings(edges))
    return np.array(sorted(points))
