"""A control system that a user made with scikit-fuzzy, as a control surface.

It may have any membership functions, operators, accumulation and defuzzification, so
scikit-fuzzy itself evaluates it, once, by its array interface, on a grid of inputs.
What has no answer everywhere, or cannot drive the optimizer, is refused first.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated
from keras_fuzzyhess.fuzzy.signals import INPUTS, SIGNALS
from keras_fuzzyhess.fuzzy.skfuzzy_state import preserved_state
from keras_fuzzyhess.fuzzy.surface import ControlSurface
from keras_fuzzyhess.fuzzy.user_checks import check_system

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

MOST_CELLS, FEWEST_CELLS = 32, 8
"""Cells of each input. Our choice: with universes of 200 points, 32 take half a second;
with longer ones there are fewer."""

BUDGET = 400_000
"""Points of universes that scikit-fuzzy visits in a compilation, each about 1.5 us."""

KINK = 1e-6
"""Change of slope, as a share of the largest, from which a sample counts as a kink."""


def surface_from_control_system(system: ControlSystem) -> ControlSurface:
    """The control surface of a control system of scikit-fuzzy.

    The system's antecedents must be `loss_trend` (universe within [-1, 1]) or
    `progress` (within [0, 1]) or both; its consequents `beta_3` (within [0, 1]) and
    one of `gain_rate` (within [-1, 1]) and `gain` (within [0, 10]). See `RuleBase` for
    their meaning. An input that the system does not have has no effect.

    The surface has the system's values at up to 33 by 33 knots, laid on the kinks of
    its membership functions first, and is interpolated between them. Everything in
    `RuleBase` is compiled more finely; use it where it can express the system.

    The system is left as it was: its simulations share their inputs, which are put
    back. Nothing keeps it alive afterwards.

    Args:
        system: The control system.

    Returns:
        The `ControlSurface`, named "control_system".

    Raises:
        TypeError: If it is no `ControlSystem`.
        ValueError: If its names, universes, memberships or weights are not as above,
            or some cell of the input square has no rule that fires; the message names
            the part, or the cell by its terms.

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> surface_from_control_system(paper_rule_base().to_control_system(51)).law
    'direct'
    """
    inputs, outputs = check_system(system)
    sizes = sum(output.universe.size for output in outputs.values())
    cells = int(np.clip(np.sqrt(BUDGET / sizes), FEWEST_CELLS, MOST_CELLS))
    knots = {
        name: _knots(inputs[name], cells)
        if name in inputs
        else np.array([SIGNALS[name].low, SIGNALS[name].high], np.float32)
        for name in INPUTS
    }
    grids = dict(
        zip(
            INPUTS, np.meshgrid(*(knots[n] for n in INPUTS), indexing="ij"), strict=True
        )
    )
    points = {
        # A float32 knot may have been rounded across the end of the universe.
        name: np.clip(
            grids[name].ravel().astype(np.float64),
            antecedent.universe[0],
            antecedent.universe[-1],
        )
        for name, antecedent in inputs.items()
    }
    values = _simulate(system, points, outputs)
    shape = grids["progress"].shape
    return ControlSurface(
        "control_system",
        knots,
        {name: values[name].reshape(shape) for name in outputs},
    )


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
                "The control system must be one that scikit-fuzzy's array interface "
                "can compute everywhere. "
                f"Received: {type(error).__name__}: {abbreviated(str(error))}"
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
    ends = universe[[0, -1]]
    knots = np.unique(np.append(universe[kinks + 1], ends).astype(np.float32))
    while len(knots) <= cells:
        widest = int(np.argmax(np.diff(knots)))
        middle = knots[widest] / 2 + knots[widest + 1] / 2
        knots = np.insert(knots, widest + 1, middle)
    return knots
