"""What the parts of an optimizer have in common: state, and what they learn of a step.

A part knows no optimizer. It is told of a step what it needs, decides by pure
functions, and keeps what it must remember in variables.
"""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

import keras
import tensorflow as tf

from keras_fuzzyhess.state.moving_average import unbiased_rate


class Step(NamedTuple):
    """What a part is told of a step.

    Attributes:
        number: Scalar integer, how many steps were taken before.
        indices: List of integers, which of the weights it moves.
    """

    number: tf.Tensor
    indices: list[int]


class Part:
    """Base of parts.

    The arguments of a part's constructor, if it has any, are its constants and the
    parts in it: it keeps them under their names, as a dataclass does, or overrides
    `get_config`.
    """

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Makes the state; none, unless a subclass does.

        Args:
            weights: List of all weights that will ever be trained.
            add: Callable `(shape, initializer, dtype, name=...) -> keras.Variable`,
                `add_variable` of Keras's optimizers.
        """

    def get_config(self) -> dict[str, Any]:
        """The constants by name, and the parts in it.

        Raises:
            ValueError: if one is not kept under its name.
        """
        config = {}
        for name in inspect.signature(type(self)).parameters:
            if not hasattr(self, name):
                raise ValueError(
                    f"`{type(self).__name__}` must keep its argument `{name}` as an "
                    f"attribute, to be saved. Received: none. Set `self.{name}`, or "
                    "override `get_config`."
                )
            value = getattr(self, name)
            is_part = isinstance(value, Part)
            config[name] = (
                keras.saving.serialize_keras_object(value) if is_part else value
            )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A part with these constants, and without state.

        Raises:
            ValueError: if it names an argument that the part does not have.
        """
        known = inspect.signature(cls).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
        unknown = [] if takes_any else [name for name in config if name not in known]
        if unknown:
            raise ValueError(
                f"The configuration of a `{cls.__name__}` must have no names but those "
                f"of its arguments: {', '.join(known) or 'none'}. Received: "
                f"{', '.join(map(repr, unknown))}. If another release wrote it, load "
                "it with that one."
            )

        def restored(value):
            is_part = isinstance(value, dict) and "class_name" in value
            return keras.saving.deserialize_keras_object(value) if is_part else value

        return cls(**{name: restored(value) for name, value in config.items()})

    def with_parts(self) -> list["Part"]:
        """This part and those in it."""
        inner = [value for value in vars(self).values() if isinstance(value, Part)]
        return [self, *(part for value in inner for part in value.with_parts())]

    def copy(self) -> Self:
        """A part with the same constants, and copies of the parts in it.

        One that is there twice becomes two. Of one that has been built, the copy is to
        be built again.

        Raises:
            TypeError: if it has parts in a list, tuple or dict.
        """
        copied = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Part):
                setattr(copied, name, value.copy())
            elif isinstance(value, list | tuple | dict):
                items = value.values() if isinstance(value, dict) else value
                if any(isinstance(item, Part) for item in items):
                    raise TypeError(
                        "A part in another must be an attribute of its own, to be "
                        f"copied and saved. Received: `{name}` of "
                        f"`{type(self).__name__}`, a {type(value).__name__} of parts. "
                        "Give each an argument and an attribute."
                    )
        return copied


class Basis(Protocol):
    """Orthogonal coordinates, of which one vector's are another's turned."""

    def turns(self, weight: tf.Variable | tf.TensorSpec) -> bool:
        """Whether those of a weight are not its own axes."""

    def into(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """Packed vectors of some weights, in these coordinates."""

    def out_of(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """The way back."""


def scalar(add: Callable, name: str, value: float = 0.0) -> keras.Variable:
    """A float32 number as a part's state.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> scalar(FuzzyHess().add_variable, "gain", 1.0).numpy().item()
    1.0
    """
    return add((), keras.initializers.Constant(value), "float32", name=name)


def named(add: Callable, part: str) -> Callable:
    """`add` that puts the name of a part before that of the variable.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> scalar(named(FuzzyHess().add_variable, "length"), "value").name
    'length.value'
    """

    def add_named(*args, name="variable", **kwargs):
        return add(*args, name=f"{part}.{name}", **kwargs)

    return add_named


def unbiased_rate_at(momentum: tf.Tensor | float, step: Step) -> tf.Tensor:
    """The rate of a bias-corrected average at a step, 1 at the first.

    Where the momentum has changed, it is the rate of an average that has always had it.

    Args:
        momentum: Scalar in [0, 1).
        step: `Step`.

    Example:

    >>> round(float(unbiased_rate_at(0.9, Step(tf.constant(1), [0]))), 3)
    0.526
    """
    weight = 1 - momentum ** tf.cast(step.number, tf.float32)
    rate, _ = unbiased_rate(1 - momentum, weight)
    return rate


def move_unbiased(
    average: Any,
    values: Sequence[tf.Tensor],
    momentum: tf.Tensor | float,
    step: Step,
) -> list:
    """`average <- momentum average + (1 - momentum) values`, bias-corrected.

    Their squares, if these are what the state keeps.

    Args:
        average: `PackedState` or `MeanSquares`, moved in every step.
        values: List of packed vectors.
        momentum: Scalar in [0, 1).
        step: `Step`.

    Returns:
        The averages of the weights of the step, packed.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> from keras_fuzzyhess.state.packing import PackedState
    >>> state = PackedState([tf.zeros(1)], FuzzyHess().add_variable, "momentum")
    >>> step = Step(tf.constant(1), [0])
    >>> move_unbiased(state, [tf.constant([4.0])], 0.9, step)[0].numpy().round(3)
    array([2.105], dtype=float32)
    """
    return average.move(values, unbiased_rate_at(momentum, step), step.indices)
