"""A rule base as a control system of scikit-fuzzy, for its pictures and simulations.

`skfuzzy.control` imports matplotlib, so it is imported only when one is made.
"""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated
from keras_fuzzyhess.fuzzy.inference import memberships
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzy.skfuzzy_state import preserved_state
from keras_fuzzyhess.fuzzy.variable import Variable

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

MOST_SAMPLES = 10001
"""Evenly spaced points of a universe, at most."""


def to_control_system(rule_base: RuleBase, samples: int = 201) -> ControlSystem:
    """The rule base as a `skfuzzy.control.ControlSystem`.

    scikit-fuzzy samples memberships on a universe. Each universe here has `samples`
    evenly spaced points, all breakpoints of the variable's terms, and the points where
    two terms cross; so its results differ from exact inference only where the cut of
    one term meets the edge of another between two points.

    The weight of a rule becomes the weight of each of its consequents
    (`consequent % weight`), for scikit-fuzzy has no other; a rule of weight 0, which
    has no effect, is left out. An input that no rule names is not in the system.

    scikit-fuzzy keeps every system that has been simulated alive for ever, in
    dictionaries of its classes. Making one does not; many simulations in one process
    do.

    Args:
        rule_base: The rule base.
        samples: Evenly spaced points of each universe, 2 to 10001. Default 201, at
            which results for the default rule base differ from exact inference by less
            than 0.01 % of the range.

    Returns:
        The control system. Antecedents and consequents carry the names of the
        variables.

    Raises:
        TypeError: If `rule_base` is no `RuleBase` or `samples` no integer.
        ValueError: If `samples` is out of range.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> system = to_control_system(default_rule_base())
    >>> sorted(antecedent.label for antecedent in system.antecedents)
    ['loss_trend', 'progress']
    """
    if not isinstance(rule_base, RuleBase):
        raise TypeError(
            "`rule_base` must be a RuleBase. "
            f"Received: {abbreviated(rule_base)} (of type {type(rule_base).__name__})"
        )
    if isinstance(samples, bool) or not isinstance(samples, int):
        raise TypeError(
            f"`samples` must be an integer. "
            f"Received: {abbreviated(samples)} (of type {type(samples).__name__})"
        )
    if not 2 <= samples <= MOST_SAMPLES:
        raise ValueError(f"`samples` must be 2 to {MOST_SAMPLES}. Received: {samples}")
    from skfuzzy import control

    parts: dict[str, Any] = {}
    for variables, kind in (
        (rule_base.inputs, control.Antecedent),
        (rule_base.outputs, control.Consequent),
    ):
        for variable in variables:
            universe = universe_of(variable, samples)
            part = parts[variable.name] = kind(universe, variable.name)
            strengths = memberships(variable, universe)
            for term, strength in zip(variable.term_names, strengths, strict=True):
                part[term] = strength
    rules = [
        control.Rule(
            reduce(and_, (parts[name][term] for name, term in rule.antecedent.items())),
            [parts[name][term] % rule.weight for name, term in rule.consequent.items()],
            label=f"rule {number}",
        )
        for number, rule in enumerate(rule_base.rules, 1)
        if rule.weight > 0.0
    ]
    system = control.ControlSystem(rules)
    # Putting the rules together has touched the state that is never released.
    with preserved_state(system):
        pass
    return system


def universe_of(variable: Variable, samples: int) -> np.ndarray:
    """The points at which scikit-fuzzy is to sample a variable's terms.

    Args:
        variable: The variable.
        samples: Number of evenly spaced points.

    Returns:
        Ascending float64 array from the low to the high end of the range.

    Example:

    >>> from keras_fuzzyhess.fuzzy import Term
    >>> low, high = (0, 0, 1), (0, 1, 1)
    >>> terms = (Term("low", "triangle", low), Term("high", "triangle", high))
    >>> universe_of(Variable("progress", 0.0, 1.0, terms), samples=2)
    array([0. , 0.5, 1. ])
    """
    points = {*np.linspace(variable.low, variable.high, samples), *variable.breakpoints}
    corners = [variable.corners(term) for term in variable.term_names]
    edges = []
    for a, b, c, d in corners:
        # (foot, head): the edge is where the membership runs from 0 to 1.
        edges += [(a, b), (d, c)]
        # Interpolation between samples would slant a vertical edge.
        if a == b > variable.low:
            points.add(float(np.nextafter(a, -np.inf)))
        if c == d < variable.high:
            points.add(float(np.nextafter(d, np.inf)))
    for (p, p_head), (q, q_head) in combinations(edges, 2):
        p_slope, q_slope = p_head - p, q_head - q
        if p_slope != q_slope:
            level = (q - p) / (p_slope - q_slope)
            if 0.0 < level < 1.0:
                points.add(p + level * p_slope)
    return np.array(sorted(points))
