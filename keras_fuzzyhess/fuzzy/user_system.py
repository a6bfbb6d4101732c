"""A control system that a user made with scikit-fuzzy, as a control surface.

It may have any membership functions, operators, accumulation and defuzzification, so
scikit-fuzzy itself evaluates it, once, by its array interface, on a grid of inputs.
What has no answer everywhere, or cannot drive the optimizer, is refused first.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated, weight_of, with_type
from keras_fuzzyhess.fuzzy.coverage import Situations, check_fires
from keras_fuzzyhess.fuzzy.membership import on_grid, with_middles
from keras_fuzzyhess.fuzzy.signals import INPUTS, NEEDED_INPUTS, SIGNALS, law_of
from keras_fuzzyhess.fuzzy.skfuzzy_state import preserved_state
from keras_fuzzyhess.fuzzy.surface import ControlSurface

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

LONGEST_UNIVERSE = 100_001
"""Points of a universe, at most."""

MOST_CELLS, FEWEST_CELLS = 32, {2: 8, 3: 4}
"""Cells of each input, the fewest by the number of inputs. Our choice: with universes
of 200 points, 32 take half a second; with longer ones, or with three inputs, there are
fewer."""

BUDGET = 400_000
"""Points of universes that scikit-fuzzy visits in a compilation, each about 1.5 us."""

KINK = 1e-6
"""Change of slope, as a share of the largest, from which a sample counts as a kink."""


def surface_from_control_system(system: ControlSystem) -> ControlSurface:
    """The control surface of a control system of scikit-fuzzy.

    The system's antecedents must be one or more of `loss_trend` (universe within
    [-1, 1]), `progress` (within [0, 1]) and `loss_fall` (within [-1, 1]); its
    consequents `beta_3` (within [0, 1]) and one of `gain_rate` (within [-1, 1]) and
    `gain` (within [0, 10]). See `RuleBase` for their meaning. An input that the system
    does not have has no effect.

    The surface has the system's values at up to 33 knots of each input, with three
    inputs at about 10, laid on the kinks of its membership functions first, and is
    interpolated between them. Everything in `RuleBase` is compiled more finely; use it
    where it can express the system.

    The system is left as it was: its simulations share their inputs, which are put
    back. Nothing keeps it alive afterwards.

    Returns:
        The `ControlSurface`, named "control_system".

    Raises:
        TypeError: If it is no `ControlSystem`.
        ValueError: If its names, universes, memberships or weights are not as above,
            or some cell of the inputs has no rule that fires; the message names the
            part, or the cell by its terms.

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> surface_from_control_system(paper_rule_base().to_control_system(51)).law
    'direct'
    """
    inputs, outputs = _variables(system)
    sizes = sum(output.universe.size for output in outputs.values())
    axes = max(2, len(inputs))
    most = (BUDGET / sizes) ** (1 / axes)
    cells = int(np.clip(most, FEWEST_CELLS[axes], MOST_CELLS))
    knots = {
        name: _knots(inputs[name], cells)
        if name in inputs
        else np.array([SIGNALS[name].low, SIGNALS[name].high], np.float32)
        for name in INPUTS
        if name in inputs or name in NEEDED_INPUTS
    }
    grid = np.meshgrid(*knots.values(), indexing="ij")
    points = {
        # A float32 knot may have been rounded across the end of the universe.
        name: np.clip(values.ravel().astype(float), *inputs[name].universe[[0, -1]])
        for name, values in zip(knots, grid, strict=True)
        if name in inputs
    }
    tables = {
        name: values.reshape(grid[0].shape)
        for name, values in _simulate(system, points, outputs).items()
    }
    return ControlSurface("control_system", knots, tables)


def _simulate(
    system: ControlSystem, points: dict[str, np.ndarray], outputs: dict[str, Any]
) -> dict[str, np.ndarray]:
    """What scikit-fuzzy's array interface gives for all points."""
    from skfuzzy.control import ControlSystemSimulation

    used = {id(c.term) for rule in system.rules for c in rule.consequent}
    all_terms = {name: output.terms for name, output in outputs.items()}
    with preserved_state(system), warnings.catch_warnings():
        # What NumPy says of scikit-fuzzy's code is not the user's to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            for output in outputs.values():
                # The array interface fails at terms that no rule names.
                output.terms = type(output.terms)(
                    (k, term) for k, term in output.terms.items() if id(term) in used
                )
            simulation = ControlSystemSimulation(system)
            for name, values in points.items():
                simulation.input[name] = values
            simulation.compute()
            return {name: np.array(simulation.output[name]) for name in outputs}
        except Exception as error:
            # A user's own operators and defuzzification may fail in any way.
            raise ValueError(
                "The control system must be one that scikit-fuzzy's array interface can"
                f" compute everywhere. Received: {type(error).__name__}: "
                f"{abbreviated(str(error))}"
            ) from error
        finally:
            for name, output in outputs.items():
                output.terms = all_terms[name]


def _knots(antecedent: Any, cells: int) -> np.ndarray:
    """Knots on the strongest kinks of the memberships, then evenly between them."""
    universe = np.asarray(antecedent.universe, np.float64)
    memberships = np.stack([term.mf for term in antecedent.terms.values()])
    slopes = np.diff(memberships, axis=1) / np.diff(universe)
    bends = np.abs(np.diff(slopes, axis=1)).max(axis=0, initial=0.0)
    strongest = np.argsort(bends, kind="stable")[::-1][: cells // 2]
    kinks = strongest[bends[strongest] > KINK * max(bends.max(initial=0.0), 1e-300)]
    knots = np.append(universe[kinks + 1], universe[[0, -1]])
    knots = np.unique(knots.astype(np.float32))
    while len(knots) <= cells:
        widest = int(np.argmax(np.diff(knots)))
        middle = knots[widest] / 2 + knots[widest + 1] / 2
        knots = np.insert(knots, widest + 1, middle)
    return knots


def _variables(system: ControlSystem) -> tuple[dict[str, Any], dict[str, Any]]:
    """Antecedents and consequents of a control system, by name, in documented order.

    Raises unless the system can be compiled.
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
            "The antecedents of the control system must be one or more of "
            "'loss_trend', 'progress' and 'loss_fall', each a single object that all "
            "rules share. "
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
            weight_of(consequent.weight, what)
    found = {name: parts[name] for name in SIGNALS if name in parts}
    inputs = {name: part for name, part in found.items() if name in INPUTS}
    outputs = {name: part for name, part in found.items() if name not in INPUTS}
    for output in outputs.values():
        _check_fires(rules, inputs, output)
    return inputs, outputs


def _check_variable(part: Any) -> None:
    what = f"variable '{part.label}'"
    universe = np.asarray(part.universe)
    fits = universe.ndim == 1 and 2 <= universe.size <= LONGEST_UNIVERSE
    numbers = universe.dtype.kind in "iuf"
    if not (fits and numbers and np.all(universe[:-1] < universe[1:])):
        raise ValueError(
            f"The universe of {what} must be 2 to {LONGEST_UNIVERSE} finite numbers "
            f"that ascend. Received: {abbreviated(universe)}, shape {universe.shape}"
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
        fits = mf.shape == universe.shape and mf.dtype.kind in "iufb"
        if not (fits and np.all((mf >= -1e-6) & (mf <= 1 + 1e-6))):
            raise ValueError(
                f"Term '{label}' of {what} must have one membership in [0, 1] for each "
                f"point of the universe. Received: {abbreviated(mf)}, shape {mf.shape}"
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
    sampled = [np.asarray(term.mf, float) for term in part.terms.values()]
    strengths = np.stack([np.interp(values, universe, mf) for mf in sampled])
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
