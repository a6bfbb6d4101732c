"""Directions by name, as the optimizer's argument takes them."""

import copy
import warnings
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

FLAT = ("beta_1", "beta_2", "curvature_power")
"""Constants that are arguments of the optimizer as well."""


def named_direction(
    direction: str | Direction | Mapping[str, Any], **constants: Any
) -> Direction:
    """A direction of its own for an optimizer.

    Args:
        direction: "diagonal", "adam" (the same without curvature), a `Direction`, of
            whose constants a copy is made, or what `direction_config` made of one.
        **constants: Those of `FLAT`. A direction that is not named has its own.

    Raises:
        ValueError: if the name is not known, if a constant is out of its range, or if
            constants other than their defaults are given beside a direction that has
            its own.
        TypeError: if it is none of these.

    Example:

    >>> constants = {"beta_1": 0.8, "beta_2": 0.9, "curvature_power": 0.5}
    >>> named_direction("adam", **constants).get_config()["curvature_power"]
    0.0
    """
    flat = Diagonal(**constants)  # which checks them
    given = {
        n: v for n, v in constants.items() if getattr(flat, n) != getattr(Diagonal, n)
    }
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
        return Diagonal(**constants | said)
    if isinstance(direction, Mapping) and "class_name" in direction:
        direction, given = _restored(direction, given)
    if not isinstance(direction, Direction):
        raise TypeError(
            "`direction` must be a name or a `keras_fuzzyhess.direction.Direction`. "
            f"Received: direction={direction!r} of type {type(direction).__name__}"
        )
    if given:
        raise ValueError(
            "Constants of the direction must be given to it, where it is not named. "
            f"Received: {', '.join(given)} beside direction={direction!r}. Write "
            f"`direction={type(direction).__name__}(...)` with them."
        )
    if not isinstance(direction.needs_curvature, bool):
        raise TypeError(
            "`needs_curvature` of a direction must be a bool. Received: "
            f"{direction.needs_curvature!r}. If it is a method, make it a property."
        )
    return copy.copy(direction)


def _restored(direction: Mapping[str, Any], given: dict[str, Any]) -> tuple[Any, dict]:
    """From `direction_config`, with the constants that are not in it but beside it."""
    if direction.get("registered_name") == keras.saving.get_registered_name(Diagonal):
        config = {**direction.get("config", {}), **given}
        direction, given = {**direction, "config": config}, {}
    return keras.saving.deserialize_keras_object(dict(direction)), given


def direction_config(direction: Direction) -> dict[str, Any]:
    """What a configuration of an optimizer says of its direction.

    Warns if Keras does not know its class, for then it is not found when it is loaded.

    Returns:
        Dict of "direction", and of those of `FLAT` that it has, which are no part of
        that.

    Example:

    >>> config = direction_config(Diagonal(beta_1=0.8))
    >>> config["beta_1"], config["direction"]["config"]["damping"]
    (0.8, 0.1)
    """
    serialized = keras.saving.serialize_keras_object(direction)
    cls = type(direction)
    registered = keras.saving.get_registered_name(cls)
    if keras.saving.get_registered_object(registered) is not cls:
        name = cls.__name__
        warnings.warn(
            f"The direction `{name}` must be registered with Keras, or a model that is "
            "saved with it loads by `keras.saving.load_model(path, "
            f"custom_objects={{{name!r}: {name}}})` alone. Write "
            "`@keras.saving.register_keras_serializable()` above its class.",
            stacklevel=3,
        )
    own = dict(serialized["config"])
    flat = {}
    if cls is Diagonal:
        flat = {name: own.pop(name) for name in FLAT}
    return {"direction": serialized | {"config": own}} | flat
