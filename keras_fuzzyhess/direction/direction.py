"""What a direction is: where a step goes, without how far."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf

from keras_fuzzyhess.parts import Part, Step
from keras_fuzzyhess.state.outer_product import OuterProduct


class Course(NamedTuple):
    """Where a step goes: along `-factor vectors`.

    Attributes:
        vectors: List of packed vectors.
        size: Scalar, the root mean square that the step length is measured with: a
            step is `factor length / size` times the vectors, if `size` is as usual.
        factor: Float by which the vectors are longer than meant.
    """

    vectors: list[tf.Tensor]
    size: tf.Tensor
    factor: float = 1.0


class MeasuredCurvature(Protocol):
    """What probes have measured of the Hessian's diagonal."""

    @property
    def mean(self) -> tf.Tensor:
        """Scalar, the mean of the scale over all weights; 0 before the first probe."""

    def scale(self, indices: Sequence[int]) -> Sequence[tf.Tensor | OuterProduct]:
        """Vectors or outer products, not negative, in units of loss per square."""


class Direction(Part):
    """Base of directions. A subclass implements `__call__`, and `build` for its state.

    Attributes:
        needs_curvature: Whether it asks for curvature. Without, none is probed and
            none is kept.

    Example:

    >>> class Gradient(Direction):
    ...     def __call__(self, gradients, curvature, step):
    ...         return Course(gradients, tf.constant(1.0))
    >>> from keras_fuzzyhess import FuzzyHess
    >>> w, optimizer = tf.Variable([1.0]), FuzzyHess(direction=Gradient())
    >>> loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    >>> round(float(w[0]), 2)
    0.96
    """

    needs_curvature = False

    def __call__(
        self,
        gradients: list[tf.Tensor],
        curvature: MeasuredCurvature | None,
        step: Step,
    ) -> Course:
        """Where to go.

        Args:
            gradients: List of packed vectors, clipped and accumulated as asked for.
            curvature: What probes have measured; None if it is not needed.
            step: `Step`.

        Returns:
            `Course`.
        """
        raise NotImplementedError
