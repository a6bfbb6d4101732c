"""Directions by name, as the optimizer's argument takes them."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_fuzzyhess.direction.diagonal import Diagonal
from keras_fuzzyhess.direction.direction import Direction

NAMES: dict[str, dict[str, float]] = {
    "diagonal": {},
    "adam": {"curvature_power": 0.0},
}
"""What a name says of the constants of `Diagonal`."""


def named_direction(
    direction: str | Direction | Mapping[str, Any], **constants: float | None
) -> Direction:
    """A direction of its own for an optimizer.

    Args:
        direction: "diagonal", "adam" (the same without curvature), a `Direction`, of
            whose constants a copy is made, or what `keras.saving` made of one.
        **constants: Constants of a direction that is named; None for its default.

    Raises:
        ValueError: if the name is not known, or if constants are given beside a
            direction that has its own.
        TypeError: if it is none of these.

    Example:

    >>> named_direction("adam", beta_1=0.8, beta_2=None).get_config()["beta_1"]
    0.8
    """
    given = {name: value for name, value in constants.items() if value is not None}
    if isinstance(direction, str):
        if direction not in NAMES:
            raise ValueError(
                f"`direction` must be one of {', '.join(map(repr, NAMES))}, or a "
                f"`Direction`. Received: direction={direction!r}"
            )
        said = NAMES[direction]
        for name in said.keys() & given.keys():
            if given[name] != said[name]:
                raise ValueError(
                    f"`{name}` must be {said[name]} or left out where `direction` is "
                    f"{direction!r}. Received: {name}={given[name]!r}. Take "
                    "direction='diagonal' with it."
                )
        return Diagonal(**given | said)
    if given:
        raise ValueError(
            "Constants of the direction must be given to it, where it is not named. "
            f"Received: {', '.join(given)} beside direction={direction!r}. Write "
            "`direction=Diagonal(...)` with them."
        )
    if isinstance(direction, Mapping):
        direction = keras.saving.deserialize_keras_object(dict(direction))
    if not isinstance(direction, Direction):
        raise TypeError(
            "`direction` must be a name or a `keras_fuzzyhess.direction.Direction`. "
            f"Received: direction={direction!r} of type {type(direction).__name__}"
        )
    return direction.from_config(direction.get_config())
