"""From a rule base to a control surface, with knots where the surface bends.

The surface of a Mamdani system is smooth but for kinks: along the breakpoints of its
terms, which are parallel to the axes, and where the minimum in a rule passes from one
input to the other, which are not. The former get a knot each; the latter are met by
halving cells until the interpolation is good enough.
"""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from sys import modules
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy.checks import with_type
from keras_fuzzyhess.fuzzy.inference import infer
from keras_fuzzyhess.fuzzy.membership import with_middles
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzy.surface import ControlSurface, most_knots
from keras_fuzzyhess.fuzzy.user_system import surface_from_control_system

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

TOLERANCES = {2: 8e-4, 3: 4e-3}
"""Deviation from exact inference that is aimed at, as a share of the output's range, by
the number of inputs. It is measured half-way between knots, so elsewhere a little more
is possible. With three inputs knots cost more: 0.1 % would take seconds."""


def resolve_rule_base(
    rule_base: RuleBase | ControlSurface | ControlSystem | str | PathLike[str],
) -> RuleBase | ControlSurface:
    """The fuzzy system behind whatever describes one, as data that can be saved.

    Args:
        rule_base: A `RuleBase`, the path of a JSON file that `RuleBase.save` wrote, a
            `skfuzzy.control.ControlSystem` with the documented names, or a
            `ControlSurface`, which is returned as it is.

    Returns:
        The `RuleBase`, or the `ControlSurface` where there is no rule base.

    Raises:
        TypeError: If `rule_base` is none of these.
        OSError: If the file cannot be read.
        ValueError: If the file holds no sound rule base, or the control system cannot
            be used.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> resolve_rule_base(default_rule_base()).law
    'rate'
    """
    if isinstance(rule_base, RuleBase | ControlSurface):
        return rule_base
    if isinstance(rule_base, str | PathLike):
        return RuleBase.load(rule_base)
    # A ControlSystem exists only where its module, which imports matplotlib, has been
    # imported already.
    control = modules.get("skfuzzy.control")
    if control is not None and isinstance(rule_base, control.ControlSystem):
        return surface_from_control_system(rule_base)
    raise TypeError(
        "`rule_base` must be a RuleBase, the path of a JSON file with one, a "
        "skfuzzy.control.ControlSystem or a ControlSurface. "
        f"Received: {with_type(rule_base)}"
    )


def control_surface(
    rule_base: RuleBase | ControlSurface | ControlSystem | str | PathLike[str],
) -> ControlSurface:
    """The control surface of whatever describes a fuzzy system.

    Args:
        rule_base: As in `resolve_rule_base`, with its errors.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> control_surface(default_rule_base()).law
    'rate'
    """
    system = resolve_rule_base(rule_base)
    return compile_surface(system) if isinstance(system, RuleBase) else system


@lru_cache(maxsize=8)  # most programs make many optimizers with one rule base
def compile_surface(rule_base: RuleBase) -> ControlSurface:
    """The control surface of a rule base.

    Values at the knots are those of exact Mamdani inference (see `inference`). Cells
    are halved until the interpolation deviates by at most 0.08 % of the output's range
    half-way between knots, with three inputs by 0.4 %, or an input has as many knots as
    it may have: 257, with three inputs 49. `ControlSurface.deviation` tells what was
    reached.

    Example:

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> surface = compile_surface(paper_rule_base())
    >>> surface.deviation < 0.001
    True
    """
    names = [variable.name for variable in rule_base.inputs]
    knots = [np.unique(np.array(v.breakpoints, np.float32)) for v in rule_base.inputs]
    most, tolerance = most_knots(len(names)), TOLERANCES[len(names)]
    widths = np.array([output.high - output.low for output in rule_base.outputs])
    while True:
        fine = [with_middles(axis) for axis in knots]
        outputs = infer(rule_base, *fine)
        values = np.stack(list(outputs.values()), axis=-1) / widths
        errors = [
            np.abs(along[1::2] - (along[:-2:2] + along[2::2]) / 2)
            .reshape(len(along) // 2, -1)
            .max(axis=1)
            for along in (np.moveaxis(values, axis, 0) for axis in range(len(knots)))
        ]
        worst = max(error.max() for error in errors)
        split = [
            _cells_to_halve(axis, error, max(tolerance, worst) / 2, most)
            for axis, error in zip(fine, errors, strict=True)
        ]
        deviation = _deviation(values)
        if max(worst, deviation) <= tolerance or not any(map(len, split)):
            break
        knots = [
            np.insert(axis, cells + 1, middles[1::2][cells])
            for axis, middles, cells in zip(knots, fine, split, strict=True)
        ]
    table = values[(slice(None, None, 2),) * len(knots)] * widths
    return ControlSurface(
        rule_base.name,
        dict(zip(names, knots, strict=True)),
        {name: table[..., index] for index, name in enumerate(outputs)},
        deviation,
    )


def restore_rule_base(data: Any) -> RuleBase | ControlSurface:
    """What `to_dict` of a rule base or of a surface described.

    For the configuration of a saved optimizer, which holds either.

    Raises:
        TypeError: If `data` is not a mapping.
        ValueError: If it describes neither.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> restore_rule_base(default_rule_base().to_dict()).name
    'default'
    """
    if isinstance(data, dict) and data.get("kind") == "control_surface":
        return ControlSurface.from_dict(data)
    return RuleBase.from_dict(data)


def _cells_to_halve(
    fine: np.ndarray, error: np.ndarray, threshold: float, most: int
) -> np.ndarray:
    """Indices of cells with errors above the threshold: the worst that find room."""
    knots, middles = fine[::2], fine[1::2]
    # A cell between two neighbouring float32 numbers has no middle.
    wanted = (error > threshold) & (knots[:-1] < middles) & (middles < knots[1:])
    cells = np.flatnonzero(wanted)
    room = most - len(knots)
    return np.sort(cells[np.argsort(error[cells])[::-1][:room]])


def _deviation(values: np.ndarray) -> float:
    """Largest error of the interpolation at middles of edges, of faces and of cells."""
    found = values.copy()
    for axis in range(values.ndim - 1):
        along = np.moveaxis(found, axis, 0)  # a view
        along[1::2] = (along[:-2:2] + along[2::2]) / 2
    return float(np.abs(values - found).max())
