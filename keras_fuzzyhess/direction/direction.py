"""What a direction is: where a step goes, without how far."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_fuzzyhess.parts import Basis, Part, Step
from keras_fuzzyhess.state.outer_product import OuterProduct


class Course(NamedTuple):
    """Where a step goes: along `-factor vectors`.

    Attributes:
        vectors: List of packed vectors, one for each of the gradients.
        size: Scalar, the root mean square of the vectors. Where it exceeds 1.5 times
            its average over the steps before, the step is shortened to that.
        factor: Scalar by which the vectors are to be multiplied.
    """

    vectors: list[tf.Tensor]
    size: tf.Tensor
    factor: tf.Tensor | float = 1.0


class MeasuredCurvature(Protocol):
    """What probes have measured of the Hessian's diagonal."""

    @property
    def mean(self) -> tf.Tensor:
        """Scalar, the mean of the scale over all weights; 0 before the first probe."""

    def scale(self, indices: Sequence[int]) -> Sequence[tf.Tensor | OuterProduct]:
        """Vectors or outer products, not negative, in units of loss per square."""


class Direction(Part):
    """Base of directions. A subclass implements `__call__`, and `build` for its state.

    The arguments of its constructor, if it has any, are its constants: it keeps them
    under their names, as a dataclass does, or overrides `get_config`.

    Gradients are packed: short weights are joined to vectors (`state/packing.py`), and
    `PackedState` and `MeanSquares` keep averages of that form.

    Attributes:
        needs_curvature: Whether it asks for curvature. Without, none is probed and
            none is kept.
        basis: `Basis` in which it asks for curvature, or None for the axes.

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
    basis: Basis | None = None

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
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `__call__(self, gradients, "
            "curvature, step)`, which returns a `Course`."
        )


def check_direction(name: str, value: Any) -> None:
    """Refuses what is no direction, as an argument of another.

    Raises:
        TypeError: if it is none.

    Example:

    >>> check_direction("scaled", "diagonal")
    Traceback (most recent call last):
        ...
    TypeError: `scaled` must be a `keras_fuzzyhess.direction.Direction`. Received: ...
    """
    if not isinstance(value, Direction):
        raise TypeError(
            f"`{name}` must be a `keras_fuzzyhess.direction.Direction`. Received: "
            f"{value!r} of type {type(value).__name__}"
        )


def checked_course(course: Any, gradients: Sequence[tf.Tensor]) -> Course:
    """What a direction has returned, if a step can be taken with it.

    Raises:
        TypeError: if it is no `Course`.
        ValueError: if its vectors or its size do not have the shapes that they must.

    Example:

    >>> gradients = [tf.zeros(3)]
    >>> float(checked_course(Course(gradients, 1.0), gradients).size)
    1.0
    """
    if not isinstance(course, Course):
        raise TypeError(
            "A direction must return a `keras_fuzzyhess.direction.Course`. Received: "
            f"{course!r} of type {type(course).__name__}"
        )
    shapes = [tuple(g.shape) for g in gradients]
    received = course.vectors
    if isinstance(received, list | tuple):
        received = [tuple(vector.shape) for vector in received]
    if not isinstance(received, list) or received != shapes:
        raise ValueError(
            "The vectors of a `Course` must be a list with the shapes of the gradients,"
            f" {shapes}. Received: {received}"
        )
    size = tf.cast(course.size, tf.float32)
    if size.shape.rank != 0:
        raise ValueError(
            f"The size of a `Course` must be a scalar. Received: shape {size.shape}"
        )
    vectors = [
        tf.cast(v, g.dtype) for v, g in zip(course.vectors, gradients, strict=True)
    ]
    return course._replace(vectors=vectors, size=size)
