"""Directions by name, as the optimizer's argument takes them."""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_fuzzyhess.direction.diagonal import Diagonal
from keras_fuzzyhess.direction.direction import Direction
from keras_fuzzyhess.direction.eigenbases import Eigenbases
from keras_fuzzyhess.direction.orthogonal import Orthogonal

NAMES: dict[str, Callable[..., Direction]] = {
    "diagonal": Diagonal,
    "adam": functools.partial(Diagonal, curvature_power=0.0),
    "orthogonal": lambda **constants: Orthogonal(Diagonal(**constants)),
    "rotated": lambda **constants: Orthogonal(
        # Curvature does not pay there: `docs/results.md`.
        Diagonal(**{"curvature_power": 0.0, **constants}, basis=Eigenbases())
    ),
}
"""What makes each of them of some of the constants of `Diagonal`."""

FLAT = ("beta_1", "beta_2", "curvature_power")
"""Constants that are arguments of the optimizer as well."""


def named_direction(
    direction: str | Direction | Mapping[str, Any], **constants: float | None
) -> Direction:
    """A direction of its own for an optimizer.

    Args:
        direction: "diagonal"; "adam", the same without curvature; "orthogonal", its
            matrices made orthogonal; "rotated", Adam's scale in eigenbases of short
            matrices, the others made orthogonal; a `Direction`, of which a copy is
            made; or what `direction_config` made of one.
        **constants: Those of `FLAT`, or None for what a direction has by itself.

    Raises:
        ValueError: if the name is not known, if a constant is out of its range, or if
            constants are given beside a direction that has its own.
        TypeError: if it is none of these.

    Example:

    >>> named_direction("adam", beta_1=0.8).get_config()["curvature_power"]
    0.0
    """
    given = {name: value for name, value in constants.items() if value is not None}
    if isinstance(direction, str):
        if direction not in NAMES:
            raise ValueError(
                f"`direction` must be one of {', '.join(map(repr, NAMES))}, or a "
                f"`Direction`. Received: direction={direction!r}"
            )
        if direction == "adam" and given.get("curvature_power"):
            raise ValueError(
                "`curvature_power` must be 0.0 or left out where `direction` is 'adam'."
                f" Received: curvature_power={given['curvature_power']!r}. Take "
                "direction='diagonal' with it."
            )
        return NAMES[direction](**given).copy()
    if isinstance(direction, Mapping) and "class_name" in direction:
        direction = keras.saving.deserialize_keras_object(dict(direction))
    if not isinstance(direction, Direction):
        remedy = ""
        if isinstance(direction, type) and issubclass(direction, Direction):
            remedy = f". Write `{direction.__name__}()`."
        raise TypeError(
            "`direction` must be a name or a `keras_fuzzyhess.direction.Direction`. "
            f"Received: direction={direction!r} of type {type(direction).__name__}"
            + remedy
        )
    if given:
        raise ValueError(
            "Constants of the direction must be given to it, where it is not named. "
            f"Received: {', '.join(given)} beside direction={direction!r}. Write it "
            "there, in the part that has it."
        )
    if not isinstance(direction.needs_curvature, bool):
        raise TypeError(
            "`needs_curvature` of a direction must be a bool. Received: "
            f"{direction.needs_curvature!r}. If it is a method, make it a property."
        )
    return direction.copy()


def direction_config(direction: Direction) -> dict[str, Any]:
    """What a configuration of an optimizer says of its direction.

    Warns if Keras does not know its class, for then it is not found when it is loaded.

    Example:

    >>> direction_config(Diagonal(beta_1=0.8))["config"]["beta_1"]
    0.8
    """
    serialized = keras.saving.serialize_keras_object(direction)
    for part in direction.with_parts():
        cls = type(part)
        registered = keras.saving.get_registered_name(cls)
        if keras.saving.get_registered_object(registered) is not cls:
            name = cls.__name__
            warnings.warn(
                f"The direction `{name}` must be registered with Keras, or a model that"
                " is saved with it loads by `keras.saving.load_model(path, "
                f"custom_objects={{{name!r}: {name}}})` alone. Write "
                "`@keras.saving.register_keras_serializable()` above its class.",
                stacklevel=3,
            )
    return serialized
