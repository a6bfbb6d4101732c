"""Can a control system that a user made drive the optimizer?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated, real_number, with_type
from keras_fuzzyhess.fuzzy.coverage import Situations, check_fires
from keras_fuzzyhess.fuzzy.membership import on_grid, with_middles
from keras_fuzzyhess.fuzzy.signals import INPUTS, SIGNALS, law_of

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

LONGEST_UNIVERSE = 100_001
"""Points of a universe, at most."""


def check_system(system: ControlSystem) -> tuple[dict[str, Any], dict[str, Any]]:
    """Raises unless a control system can be compiled; returns its variables.

    Args:
        system: The control system.

    Returns:
        Its antecedents and its consequents by name, in the documented order.

    Raises:
        TypeError: If it is no `ControlSystem`.
        ValueError: If something about it cannot be used; the message names the part.
    """
    from skfuzzy.control import ControlSystem

    if not isinstance(system, ControlSystem):
        raise TypeError(
            "`system` must be a skfuzzy.control.ControlSystem. "
            f"Received: {with_type(system)}"
        )
    rules = list(system.rules)
    antecedents, consequents = list(system.antecedents), list(system.consequents)
    labels = [antecedent.label for antecedent in antecedents]
    if not labels or len(set(labels)) < len(labels) or not set(labels) <= set(INPUTS):
        raise ValueError(
            "The antecedents of the control system must be 'loss_trend' and "
            "'progress', or one of them, each a single object that all rules share. "
            f"Received: {abbreviated(labels)}"
        )
    law_of((c.label for c in consequents), "The control system")
    parts = {part.label: part for part in antecedents + consequents}
    for part in parts.values():
        _check_variable(part)
    for rule in rules:
        for term in rule.antecedent_terms:
            if term.parent.label not in INPUTS:
                raise ValueError(
                    f"Rule '{rule.label}' must have inputs only in its antecedent. "
                    f"Received: {term.full_label}"
                )
        for consequent in rule.consequent:
            what = f"The weight of {consequent.term.full_label} in rule '{rule.label}'"
            weight = real_number(consequent.weight, what)
            if not 0.0 <= weight <= 1.0:
                raise ValueError(f"{what} must be in [0, 1]. Received: {weight}")
    found = {name: parts[name] for name in SIGNALS if name in parts}
    inputs = {name: part for name, part in found.items() if name in INPUTS}
    outputs = {name: part for name, part in found.items() if name not in INPUTS}
    for output in outputs.values():
        _check_fires(rules, inputs, output)
    return inputs, outputs


def _check_variable(part: Any) -> None:
    what = f"variable '{part.label}'"
    universe = np.asarray(part.universe)
    if universe.ndim != 1 or not 2 <= universe.size <= LONGEST_UNIVERSE:
        raise ValueError(
            f"The universe of {what} must be 2 to {LONGEST_UNIVERSE} numbers. "
            f"Received: shape {universe.shape}"
        )
    if universe.dtype.kind not in "iuf" or not np.all(np.isfinite(universe)):
        raise ValueError(
            f"The universe of {what} must consist of finite numbers. "
            f"Received: {abbreviated(universe)}"
        )
    if not np.all(universe[:-1] < universe[1:]):
        raise ValueError(
            f"The universe of {what} must ascend. Received: {abbreviated(universe)}"
        )
    signal = SIGNALS[part.label]
    low, high = float(universe[0]), float(universe[-1])
    # A universe is usually written with its end, and a centroid does not reach it:
    # beta_3 = 1 is refused as a value, not as the end of the universe.
    inside = high == signal.high and signal.open_high
    inner_high = float(np.nextafter(np.float32(high), 0)) if inside else high
    signal.check_range(low, inner_high, f"{what} (its universe)")
    if not part.terms:
        raise ValueError(f"{what.capitalize()} must have terms. Received: none")
    for label, term in part.terms.items():
        mf = np.asarray(term.mf)
        if mf.shape != universe.shape or mf.dtype.kind not in "iufb":
            raise ValueError(
                f"Term '{label}' of {what} must have one membership for each point of "
                f"the universe. Received: shape {mf.shape} of type {mf.dtype}"
            )
        if not np.all((mf >= -1e-6) & (mf <= 1 + 1e-6)):
            raise ValueError(
                f"The memberships of term '{label}' of {what} must be numbers in "
                f"[0, 1]. Received: {abbreviated(mf)}"
            )


def _check_fires(rules: list[Any], inputs: dict[str, Any], output: Any) -> None:
    """Raises ValueError if at some inputs no rule gives this output a positive set."""
    of_inputs = [_situations(part) for part in inputs.values()]
    grid = on_grid([one.strengths for one in of_inputs])
    shape = [one.values.size for one in of_inputs]
    strengths = {
        # Copied, for a user's operators may want room for what they compute.
        id(term): np.broadcast_to(strength, shape).copy()
        for part, rows in zip(inputs.values(), grid, strict=True)
        for term, strength in zip(part.terms.values(), rows, strict=True)
    }
    fired = np.zeros(shape)
    for rule in rules:
        for consequent in rule.consequent:
            if consequent.term.parent is output and np.max(consequent.term.mf) > 0:
                firing = consequent.weight * _firing(rule, rule.antecedent, strengths)
                fired = np.fmax(fired, firing)
    demand = f"The control system must have a rule for '{output.label}' that fires in"
    check_fires(fired, of_inputs, demand)


def _situations(part: Any) -> Situations:
    """One for each pattern of terms that hold, do not hold, hold fully."""
    universe = np.asarray(part.universe, np.float64)
    values = with_middles(universe)
    strengths = np.stack(
        [
            np.interp(values, universe, np.asarray(t.mf, float))
            for t in part.terms.values()
        ]
    )
    patterns = np.concatenate([strengths > 0, strengths < 1])
    _, first = np.unique(patterns, axis=1, return_index=True)
    first.sort()
    terms = tuple(term.label for term in part.terms.values())
    return Situations(part.label, terms, values[first], strengths[:, first])


def _firing(rule: Any, clause: Any, strengths: dict[int, np.ndarray]) -> np.ndarray:
    """Strength of an antecedent, with the operators that the rule has."""
    if id(clause) in strengths:
        return strengths[id(clause)]
    first = _firing(rule, clause.term1, strengths)
    if clause.kind == "not":
        return 1.0 - first
    second = _firing(rule, clause.term2, strengths)
    operator = rule.and_func if clause.kind == "and" else rule.or_func
    return np.asarray(operator(first, second), np.float64)
