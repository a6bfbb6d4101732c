"""What the parts of an optimizer have in common: state, and what they learn of a step.

A part knows no optimizer. It is told of a step what it needs, decides by pure
functions, and keeps what it must remember in variables.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

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
    """Base of parts."""

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Makes the state; none, unless a subclass does.

        Args:
            weights: List of all weights that will ever be trained.
            add: Callable `(shape, initializer, dtype, name=...) -> keras.Variable`,
                `add_variable` of Keras's optimizers.
        """


class Basis(Protocol):
    """Orthogonal coordinates, of which one vector's are another's turned."""

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


def move_unbiased(
    average: Any, values: Sequence[tf.Tensor], momentum: float, step: Step
) -> list:
    """`average <- momentum average + (1 - momentum) values`, bias-corrected.

    Their squares, if these are what the state keeps.

    Args:
        average: `PackedState` or `MeanSquares`, moved in every step.
        values: List of packed vectors.
        momentum: Float in [0, 1).
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
    weight = 1 - momentum ** tf.cast(step.number, tf.float32)
    rate, _ = unbiased_rate(1 - momentum, weight)
    return average.move(values, rate, step.indices)
