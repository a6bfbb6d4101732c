"""The control surface: a rule base as a table that the training graph looks up.

A Mamdani inference of scikit-fuzzy takes milliseconds, a training step often no more.
So it is done once, for a grid of inputs, and a step costs one linear interpolation
between the two knots around each input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fuzzyhess.fuzzy import checks, json_data
from keras_fuzzyhess.fuzzy.signals import (
    INPUTS,
    NEEDED_INPUTS,
    SIGNALS,
    Law,
    check_inputs,
    law_of,
)


def most_knots(inputs: int) -> int:
    """Knots of an input, at most: tables for two outputs are then at most 1 MB.

    Example:

    >>> most_knots(2), most_knots(3)
    (257, 49)
    """
    return 257 if inputs == len(NEEDED_INPUTS) else 49


@dataclass(frozen=True, eq=False)
class ControlSurface:
    """Tables of the outputs over the inputs.

    Between the knots the outputs are interpolated linearly along each input, beyond the
    first and the last knot they have the value at the border.

    Args:
        name: Name of what it was compiled from.
        knots: For `loss_trend` and `progress`, an ascending float32 array of 2 to 257
            values in the unit of the input: [N] and [M]. With `loss_fall` there are
            three such arrays, [N], [M] and [L], each of 2 to 49 values.
        tables: For `beta_3` and one of `gain_rate` and `gain`, a float32 array [N, M]
            or [N, M, L] in the unit of the output.
        deviation: Largest difference from the system that it was compiled from, found
            half-way between knots, as a share of the largest output range. None where
            it was not measured.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If knots are not ascending and inside the input's limits, or a
            table has another shape or values outside the output's limits.

    Example:

    >>> surface = ControlSurface(
    ...     "constant",
    ...     {"loss_trend": [-1, 1], "progress": [0, 1]},
    ...     {"gain": [[1, 1], [1, 1]], "beta_3": [[0.5, 0.9], [0.5, 0.9]]},
    ... )
    >>> surface.law
    'direct'
    >>> float(surface.look_up(0.3, 0.25)["beta_3"])
    0.6000000238418579
    """

    name: str
    knots: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray]
    deviation: float | None = None

    def __post_init__(self) -> None:
        checks.name_of(self.name, "The name of a control surface")
        what = f"Control surface '{self.name}'"
        for values in (self.knots, self.tables):
            if not isinstance(values, Mapping):
                raise TypeError(
                    f"{what} must have mappings for `knots` and `tables`. "
                    f"Received: {checks.with_type(values)}"
                )
        check_inputs(self.knots, f"The knots of control surface '{self.name}'")
        law_of(self.tables, what)
        most = most_knots(len(self.knots))
        knots = {
            name: _checked_knots(self.knots[name], name, most)
            for name in INPUTS
            if name in self.knots
        }
        shape = tuple(map(len, knots.values()))
        tables = {}
        for name in sorted(self.tables, key=tuple(SIGNALS).index):
            table = _numbers(self.tables[name], f"The table of {name}")
            if table.shape != shape:
                raise ValueError(
                    f"The table of {name} must have the shape {shape}, one value for "
                    f"each combination of knots. Received: shape {table.shape}"
                )
            SIGNALS[name].check_values(table, f"The values of the table of {name}")
            tables[name] = table
        object.__setattr__(self, "knots", MappingProxyType(knots))
        object.__setattr__(self, "tables", MappingProxyType(tables))
        if self.deviation is not None:
            deviation = checks.real_number(self.deviation, "`deviation`")
            object.__setattr__(self, "deviation", deviation)

    @property
    def law(self) -> Law:
        """Law of the gain: "rate" with the output `gain_rate`, "direct" with `gain`."""
        return law_of(self.tables, f"Control surface '{self.name}'")

    def look_up(
        self,
        loss_trend: tf.Tensor | float,
        progress: tf.Tensor | float,
        loss_fall: tf.Tensor | float = 1.0,
    ) -> dict[str, tf.Tensor]:
        """The outputs at one point, in TensorFlow operations.

        With `t_j` the share of the cell from knot `j` to `j + 1` that lies below an
        input, clipped into [0, 1], the sum over `j` is the input's position in units
        of cells. Its integer part picks the corners of a cell, the rest weighs them.

        Knots and tables are constants of the graph. Runs eagerly, in `tf.function`
        and under XLA.

        Args:
            loss_trend: Scalar; outside the knots it counts as the nearest knot.
            progress: Scalar, likewise.
            loss_fall: Scalar, likewise; does not count where there are no knots for it.

        Returns:
            A float32 scalar for each output name. If an input is NaN, all outputs are
            NaN: nothing is known, and a made-up number would hide it.

        Example:

        >>> from keras_fuzzyhess.fuzzy import control_surface, default_rule_base
        >>> surface = control_surface(default_rule_base())
        >>> round(float(surface.look_up(1.0, 0.0)["gain_rate"]), 4)
        0.025
        """
        constants = self._constants
        inputs = tf.stack(
            [
                tf.cast(value, tf.float32)
                for value in (loss_trend, progress, loss_fall)[: len(self.knots)]
            ]
        )
        point = tf.clip_by_value(inputs, constants["first"], constants["last"])
        below = (point[:, tf.newaxis] - constants["starts"]) * constants["per_width"]
        position = tf.reduce_sum(tf.clip_by_value(below, 0.0, 1.0), axis=1)
        # XLA clips NaN to a border before TensorFlow 2.21.
        position = tf.where(tf.math.is_nan(inputs), inputs, position)
        # Clipped at 0 as well, for NaN becomes any integer.
        cell = tf.clip_by_value(tf.cast(position, tf.int32), 0, constants["last_cell"])
        share = position - tf.cast(cell, tf.float32)
        corners = constants["corners"]
        values = tf.gather_nd(constants["table"], cell + corners)
        weights = tf.reduce_prod(
            (1.0 - corners) + (2.0 * corners - 1.0) * share, axis=1, keepdims=True
        )
        outputs = tf.unstack(tf.reduce_sum(weights * values, axis=0))
        return dict(zip(self.tables, outputs, strict=True))

    def evaluate(
        self, loss_trend: np.ndarray, progress: np.ndarray, loss_fall: float = 1.0
    ) -> dict[str, np.ndarray]:
        """The outputs at all pairs of two inputs, in numpy: for pictures and tests.

        Args:
            loss_trend: Array [K].
            progress: Array [L].
            loss_fall: Float, one value for all pairs.

        Returns:
            float64 array [K, L] for each output name.

        Example:

        >>> from keras_fuzzyhess.fuzzy import control_surface, default_rule_base
        >>> surface = control_surface(default_rule_base())
        >>> surface.evaluate([-1.0, 0.0, 1.0], [0.0, 1.0])["beta_3"].shape
        (3, 2)
        """
        across = _interpolation(self.knots["loss_trend"], loss_trend)
        along = _interpolation(self.knots["progress"], progress)
        tables = dict(self.tables)
        if "loss_fall" in self.knots:
            (at_fall,) = _interpolation(self.knots["loss_fall"], np.array([loss_fall]))
            tables = {name: table @ at_fall for name, table in tables.items()}
        return {name: across @ table @ along.T for name, table in tables.items()}

    def to_dict(self) -> dict[str, Any]:
        """The surface as data that JSON can hold; `from_dict` restores it.

        Example:

        >>> from keras_fuzzyhess.fuzzy import control_surface, default_rule_base
        >>> surface = control_surface(default_rule_base())
        >>> ControlSurface.from_dict(surface.to_dict()) == surface
        True
        """
        return json_data.header("control_surface") | {
            "name": self.name,
            "knots": {name: values.tolist() for name, values in self.knots.items()},
            "tables": {name: values.tolist() for name, values in self.tables.items()},
            "deviation": self.deviation,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ControlSurface:
        """The surface that `to_dict` gave `data` for.

        Raises:
            TypeError: If `data` is not a mapping.
            ValueError: If it describes no sound surface of schema version 1.
        """
        parts = ("name", "knots", "tables", "deviation")
        return json_data.restored(data, "control_surface", parts, cls)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ControlSurface):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings can be neither copied deeply nor pickled.
        parts = (self.name, dict(self.knots), dict(self.tables), self.deviation)
        return type(self), parts

    @cached_property
    def _constants(self) -> dict[str, np.ndarray]:
        knots = list(self.knots.values())
        # The shorter row is filled up with cells that nothing lies in.
        shape = (2, len(knots), max(map(len, knots)) - 1)
        starts, per_width = np.zeros(shape, np.float32)
        for row, of_one in enumerate(knots):
            starts[row, : len(of_one) - 1] = of_one[:-1]
            per_width[row, : len(of_one) - 1] = 1.0 / np.diff(of_one)
        return {
            "first": np.stack([of_one[0] for of_one in knots]),
            "last": np.stack([of_one[-1] for of_one in knots]),
            "starts": starts,
            "per_width": per_width,
            "last_cell": np.array([len(of_one) - 2 for of_one in knots], np.int32),
            "corners": np.array(list(product((0, 1), repeat=len(knots))), np.int32),
            "table": np.stack(list(self.tables.values()), axis=-1),
        }


def _numbers(values: Any, what: str) -> np.ndarray:
    try:
        array = np.array(values)
    except ValueError as error:
        raise ValueError(f"{what} must have rows of one length. {error}") from error
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{what} must be numbers. "
            f"Received: {checks.abbreviated(values)} (of type {array.dtype})"
        )
    # What overflows float32 becomes infinite here and is refused for that.
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    array.flags.writeable = False
    return array


def _checked_knots(values: Any, name: str, most: int) -> np.ndarray:
    what = f"The knots of {name}"
    knots = _numbers(values, what)
    fits = knots.ndim == 1 and 2 <= len(knots) <= most
    if not (fits and np.all(knots[:-1] < knots[1:])):
        raise ValueError(
            f"{what} must be 2 to {most} finite float32 numbers that ascend. "
            f"Received: {checks.abbreviated(knots.tolist())}, shape {knots.shape}"
        )
    SIGNALS[name].check_values(knots, what)
    return knots


def _interpolation(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Matrix [K, N] that interpolates linearly from N knots to K values."""
    knots = knots.astype(np.float64)
    values = np.clip(np.asarray(values, np.float64), knots[0], knots[-1])
    cell = np.clip(np.searchsorted(knots, values, "right") - 1, 0, len(knots) - 2)
    share = (values - knots[cell]) / (knots[cell + 1] - knots[cell])
    matrix = np.zeros((len(values), len(knots)))
    rows = np.arange(len(values))
    matrix[rows, cell], matrix[rows, cell + 1] = 1.0 - share, share
    return matrix
