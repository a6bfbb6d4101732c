"""Moving averages of squares; of long matrices only those of rows and columns.

A number for each weight makes an optimizer's state as large as the network. Squares of
gradients, and of curvature samples, differ most between the rows and between the
columns of a matrix, so that the means of these stand for all of them (Shazeer and
Stern, Adafactor, arXiv 1804.04235). For short weights, which take little memory, and
for vectors every square has its own average.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_fuzzyhess.backend.in_place import sum_over_rows
from keras_fuzzyhess.state.matrices import matrix_sides
from keras_fuzzyhess.state.outer_product import OuterProduct
from keras_fuzzyhess.state.packing import (
    LONG,
    PackedState,
    Packing,
    map_joined,
    specs_of,
)


class Factors(NamedTuple):
    """Mean squares of a matrix, by their means over rows and columns.

    Attributes:
        rows: Vector, the mean of each row, over its columns.
        columns: Vector, the mean of each column, over its rows.
    """

    rows: tf.Tensor
    columns: tf.Tensor


def mean_squares(
    values: Sequence[tf.Tensor], sides: Sequence[tuple[int, int] | None]
) -> list[tf.Tensor | Factors]:
    """The squares of vectors, of a matrix the means of its rows and columns.

    Args:
        values: List of vectors, those of matrices row by row.
        sides: For each vector None, or the numbers of rows and columns of a matrix of
            which only the means are wanted.

    Returns:
        List of vectors and `Factors`.

    Example:

    >>> value = tf.constant([1.0, 1.0, 1.0, 1.0, 1.0, 7.0])
    >>> (factors,) = mean_squares([value], [(2, 3)])
    >>> factors.rows.numpy().tolist(), factors.columns.numpy().tolist()
    ([1.0, 17.0], [1.0, 1.0, 25.0])
    """
    return [
        tf.square(value) if shape is None else _factors(tf.square(value), shape)
        for value, shape in zip(values, sides, strict=True)
    ]


def _factors(squares: tf.Tensor, sides: tuple[int, int]) -> Factors:
    matrix = tf.reshape(squares, sides)
    return Factors(tf.reduce_mean(matrix, axis=1), sum_over_rows(matrix) / sides[0])


def square_roots(
    averages: Iterable[tf.Tensor | Factors],
) -> list[tf.Tensor | OuterProduct]:
    """The square roots of averages, for factors of `rows columns / mean(rows)`.

    Args:
        averages: List of vectors or `Factors`.

    Returns:
        List of vectors, for `Factors` an `OuterProduct`.

    Example:

    >>> from keras_fuzzyhess.state.outer_product import dense
    >>> factors = Factors(tf.constant([1.0, 17.0]), tf.constant([1.0, 1.0, 25.0]))
    >>> averages = [tf.constant([9.0]), factors]
    >>> for root in square_roots(averages):
    ...     print(dense(root).numpy().round(2))
    [3.]
    [0.33 0.33 1.67 1.37 1.37 6.87]
    """
    averages = list(averages)
    factors = [average for average in averages if isinstance(average, Factors)]
    relative = [
        tf.math.divide_no_nan(rows, tf.reduce_mean(rows)) for rows, _ in factors
    ]
    rows = map_joined(tf.sqrt, relative)
    columns = map_joined(tf.sqrt, [columns for _, columns in factors])
    outer_products = map(OuterProduct, rows, columns)
    return [
        next(outer_products) if isinstance(average, Factors) else tf.sqrt(average)
        for average in averages
    ]


class MeanSquares:
    """Averages of squares as part of an optimizer's state.

    A weight of at least `2**15` elements is a matrix whose columns are its last axis.
    Of such a one its rows' and its columns' means are kept, if it has more than one of
    each; of any other weight a number for each element.

    Args:
        variables: List of all weights that will ever be trained.
        add_variable: Callable `(shape, dtype, name) -> keras.Variable`.
        name: String, the name of the variables.

    Example:

    >>> from keras_fuzzyhess.state.outer_product import dense
    >>> weights = [tf.zeros((300, 200)), tf.zeros(3)]
    >>> def add_variable(shape, dtype, name):
    ...     return keras.Variable(tf.zeros(shape), dtype=dtype, name=name)
    >>> state = MeanSquares(weights, add_variable, "velocity")
    >>> values = [tf.fill([60_000], 2.0), tf.ones(3)]
    >>> averages = state.move(values, tf.constant(1.0), [0, 1])
    >>> [dense(root).numpy()[:3].tolist() for root in square_roots(averages)]
    [[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        add_variable: Callable[..., keras.Variable],
        name: str,
    ) -> None:
        self._specs = specs_of(variables)
        self._sides = {
            i: sides for i, v in enumerate(self._specs) if (sides := _sides(v.shape))
        }
        whole = [i for i in range(len(variables)) if i not in self._sides]
        self._place = {i: n for n, i in enumerate(whole)}
        self._place |= {i: 2 * n for n, i in enumerate(self._sides)}
        self._whole = PackedState([self._specs[i] for i in whole], add_variable, name)
        self._factors = PackedState(
            self._specs_of_factors(self._sides), add_variable, f"{name}_factors"
        )

    def read(self, indices: Sequence[int]) -> list[tf.Tensor | Factors]:
        """The averages of some of the weights, in the order of their packing."""
        whole, factored = self._places(indices)
        return self._combined(
            self._whole.read(whole), self._factors.read(factored), indices
        )

    def move(
        self, values: Sequence[tf.Tensor], rate: tf.Tensor, indices: Sequence[int]
    ) -> list[tf.Tensor | Factors]:
        """Averages packed values' squares in, by `rate`; returns the averages."""
        squares = mean_squares(values, self._packed_sides(indices))
        plain = [x for x in squares if not isinstance(x, Factors)]
        sides = [side for x in squares if isinstance(x, Factors) for side in x]
        whole, factored = self._places(indices)
        return self._combined(
            self._whole.move(plain, rate, whole),
            self._factors.move(Packing(sides).pack(sides), rate, factored),
            indices,
        )

    def _combined(
        self, whole: list[tf.Tensor], factors: list[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor | Factors]:
        """From vectors of the two states those of the weights."""
        factored = [i for i in indices if i in self._sides]
        sides = iter(Packing(self._specs_of_factors(factored)).unpack(factors))
        vectors = iter(whole)
        return [
            Factors(next(sides), next(sides)) if is_factored else next(vectors)
            for is_factored in self._packed_sides(indices)
        ]

    def _places(self, indices: Sequence[int]) -> tuple[list[int], list[int]]:
        """Where the weights are in the two states, of a matrix both of its sides."""
        whole = [self._place[i] for i in indices if i not in self._sides]
        first = [self._place[i] for i in indices if i in self._sides]
        return whole, [place for n in first for place in (n, n + 1)]

    def _packed_sides(self, indices: Sequence[int]) -> list[tuple[int, int] | None]:
        """For each vector of the packed weights its sides, or None."""
        packing = Packing([self._specs[i] for i in indices])
        return [self._sides.get(indices[first]) for first, *_ in packing.members]

    def _specs_of_factors(self, indices: Iterable[int]) -> list[tf.TensorSpec]:
        return [
            tf.TensorSpec([n], self._specs[i].dtype)
            for i in indices
            for n in self._sides[i]
        ]


def _sides(shape: tf.TensorShape) -> tuple[int, int] | None:
    """Number of rows and columns of a weight that is kept by factors, else None."""
    return matrix_sides(shape) if shape.num_elements() >= LONG else None
