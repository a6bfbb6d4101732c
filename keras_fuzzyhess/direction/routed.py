"""One direction for matrices, another for all other weights."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_fuzzyhess.direction.diagonal import Diagonal
from keras_fuzzyhess.direction.direction import (
    Course,
    Direction,
    MeasuredCurvature,
    check_direction,
    checked_course,
)
from keras_fuzzyhess.direction.orthogonal import Orthogonal
from keras_fuzzyhess.parts import Basis, Step, named
from keras_fuzzyhess.state.matrices import matrix_sides
from keras_fuzzyhess.state.outer_product import OuterProduct, mean
from keras_fuzzyhess.state.packing import Packing, specs_of


class _CurvatureOf(NamedTuple):
    """What probes have measured of some weights, which count from 0."""

    whole: MeasuredCurvature
    places: list[int]

    @property
    def mean(self) -> tf.Tensor:
        return mean(self.scale(range(len(self.places))))

    def scale(self, indices: Sequence[int]) -> Sequence[tf.Tensor | OuterProduct]:
        return self.whole.scale([self.places[i] for i in indices])


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Routed(Direction):
    """Two directions, each with the weights that are its own.

    A matrix is a weight with several rows and several columns, as
    `state/matrices.py` counts them: kernels and embeddings, not biases and scales.

    Args:
        matrices: `Direction` of matrices. Defaults to `Orthogonal()`.
        others: `Direction` of all other weights. Defaults to `Diagonal()`.

    Raises:
        TypeError: if one is no `Direction`.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> adam = Diagonal(curvature_power=0)
    >>> direction = Routed(matrices=Orthogonal(adam), others=adam)
    >>> w, b = tf.Variable([[1.0, 2.0], [3.0, 4.0]]), tf.Variable([1.0])
    >>> optimizer = FuzzyHess(direction=direction)
    >>> before = optimizer.minimize(lambda: tf.reduce_sum(w**2) + b[0] ** 2, [w, b])
    >>> bool(tf.reduce_sum(w**2) + b[0] ** 2 < before)
    True
    """

    matrices: Direction = dataclasses.field(default_factory=Orthogonal)
    others: Direction = dataclasses.field(default_factory=Diagonal)

    def __post_init__(self) -> None:
        for name in ("matrices", "others"):
            check_direction(name, getattr(self, name))

    @property
    def _directions(self) -> tuple[Direction, Direction]:
        return self.matrices, self.others

    @property
    def needs_curvature(self) -> bool:  # type: ignore[override]
        """Whether one of them needs it."""
        return any(direction.needs_curvature for direction in self._directions)

    @property
    def basis(self) -> Basis | None:  # type: ignore[override]
        """Those of both: this direction knows whose weights are in which."""
        return self if any(d.basis for d in self._directions) else None

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the state of both, each for its own weights."""
        self._specs = specs_of(weights)
        self._places = [
            [
                i
                for i, w in enumerate(self._specs)
                if w.shape.num_elements() and bool(matrix_sides(w.shape)) == own
            ]
            for own in (True, False)
        ]
        for direction, places in zip(self._directions, self._places, strict=True):
            if places:
                own = [weights[i] for i in places]
                direction.build(own, named(add, type(direction).__name__))

    def __call__(
        self,
        gradients: list[tf.Tensor],
        curvature: MeasuredCurvature | None,
        step: Step,
    ) -> Course:
        """Where each of them goes with its own weights."""
        squares = []  # of the size of each, for every weight

        def course_of(direction, own, indices, places):
            measured = None
            if direction.needs_curvature and curvature is not None:
                measured = _CurvatureOf(curvature, places)
            course = direction(own, measured, Step(step.number, indices))
            course = checked_course(course, own)
            count = sum(math.prod(vector.shape) for vector in own)
            squares.append((count, tf.square(course.factor * course.size)))
            return [tf.cast(course.factor, v.dtype) * v for v in course.vectors]

        vectors = self._of_each(gradients, step.indices, course_of)
        total = sum(count for count, _ in squares)
        size = tf.sqrt(tf.add_n([count / total * square for count, square in squares]))
        return Course(vectors, size)

    def turns(self, weight: tf.Variable | tf.TensorSpec) -> bool:
        """Whether the direction that has the weight has a basis for it."""
        direction = self.matrices if matrix_sides(weight.shape) else self.others
        return direction.basis is not None and direction.basis.turns(weight)

    def into(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """Packed vectors, those of each direction in the basis that it has."""
        return self._turned(vectors, indices, lambda basis: basis.into)

    def out_of(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """The way back."""
        return self._turned(vectors, indices, lambda basis: basis.out_of)

    def _turned(self, vectors, indices, way: Callable) -> list[tf.Tensor]:
        return self._of_each(
            vectors,
            indices,
            lambda d, own, i, _: way(d.basis)(own, i) if d.basis else own,
        )

    def _of_each(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int], make: Callable
    ) -> list[tf.Tensor]:
        """Packed vectors, those of each direction's weights made by `make`.

        Args:
            vectors: List of packed vectors.
            indices: Which of all weights they are of.
            make: Callable of a direction, its packed vectors, their indices among its
                own weights, and the places of these among all.
        """
        packing = Packing([self._specs[i] for i in indices])
        tensors = packing.unpack(vectors)
        for direction, places in zip(self._directions, self._places, strict=True):
            own = [n for n, i in enumerate(indices) if i in places]
            if own:
                chosen = Packing([tensors[n] for n in own])
                made = make(
                    direction,
                    chosen.pack([tensors[n] for n in own]),
                    [places.index(indices[n]) for n in own],
                    places,
                )
                for n, tensor in zip(own, chosen.unpack(made), strict=True):
                    tensors[n] = tensor
        return packing.pack(tensors)
