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

from keras_fuzzyhess.moving_average import mix
from keras_fuzzyhess.outer_product import OuterProduct
from keras_fuzzyhess.packing import LONG, PackedState, Packing


class Factors(NamedTuple):
    """Mean squares of a matrix, by their means over rows and columns.

    Attributes:
        rows: Vector, the mean of each row, over its columns.
        columns: Vector, the mean of each column, over its rows.
    """

    rows: tf.Tensor
    columns: tf.Tensor


def averaged_squares(
    averages: Sequence[tf.Tensor | Factors],
    values: Sequence[tf.Tensor],
    rate: tf.Tensor,
) -> list[tf.Tensor | Factors]:
    """One step of the moving averages, `average + rate (value**2 - average)`.

    Args:
        averages: List of vectors or `Factors`, the averages so far.
        values: List of vectors, those of matrices row by row.
        rate: Scalar in [0, 1], the weight of the new values.

    Returns:
        List of what `averages` has.

    Example:

    >>> factors = Factors(tf.zeros(2), tf.zeros(3))
    >>> value = tf.constant([1.0, 1.0, 1.0, 1.0, 1.0, 7.0])
    >>> averages = averaged_squares([factors], [value], tf.constant(1.0))
    >>> averages[0].rows.numpy().tolist(), averages[0].columns.numpy().tolist()
    ([1.0, 17.0], [1.0, 1.0, 25.0])
    """
    return [
        _averaged(average, value**2, tf.cast(rate, value.dtype))
        for average, value in zip(averages, values, strict=True)
    ]


def _averaged(average, squares, rate):
    if not isinstance(average, Factors):
        return mix(average, squares, rate)
    count = average.rows.shape[0]
    matrix = tf.reshape(squares, [count, average.columns.shape[0]])
    # The sum over rows, which `tf.reduce_sum` takes more slowly on a CPU.
    sums = tf.raw_ops.BiasAddGrad(out_backprop=matrix)
    return Factors(
        mix(average.rows, tf.reduce_mean(matrix, axis=1), rate),
        mix(average.columns, sums / count, rate),
    )


def square_roots(
    averages: Iterable[tf.Tensor | Factors],
) -> list[tf.Tensor | OuterProduct]:
    """The square roots of averages, for factors of `rows columns / mean(rows)`.

    Args:
        averages: List of vectors or `Factors`.

    Returns:
        List of vectors, for `Factors` an `OuterProduct`.

    Example:

    >>> from keras_fuzzyhess.outer_product import dense
    >>> averages = [tf.constant([9.0]), Factors([1.0, 17.0], [1.0, 1.0, 25.0])]
    >>> for root in square_roots(averages):
    ...     print(dense(root).numpy().round(2))
    [3.]
    [0.33 0.33 1.67 1.37 1.37 6.87]
    """
    return [
        _outer_root(*average) if isinstance(average, Factors) else tf.sqrt(average)
        for average in averages
    ]


def _outer_root(rows, columns):
    relative = tf.math.divide_no_nan(rows, tf.reduce_mean(rows))
    return OuterProduct(tf.sqrt(relative), tf.sqrt(columns))


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

    >>> from keras_fuzzyhess.outer_product import dense
    >>> weights = [tf.zeros((300, 200)), tf.zeros(3)]
    >>> def add_variable(shape, dtype, name):
    ...     return keras.Variable(tf.zeros(shape), dtype=dtype, name=name)
    >>> state = MeanSquares(weights, add_variable, "velocity")
    >>> values = [tf.fill([60_000], 2.0), tf.ones(3)]
    >>> state.assign(state.averaged(values, tf.constant(1.0), [0, 1]), [0, 1])
    >>> [dense(r).numpy()[:3].tolist() for r in square_roots(state.read([0, 1]))]
    [[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        add_variable: Callable[..., keras.Variable],
        name: str,
    ) -> None:
        self._specs = [tf.TensorSpec(v.shape, tf.as_dtype(v.dtype)) for v in variables]
        self._factors: dict[int, Factors] = {}
        for i, spec in enumerate(self._specs):
            if sides := _sides(spec.shape):
                rows, columns = (
                    add_variable(
                        shape=(side,), dtype=spec.dtype.name, name=f"{name}_{of}"
                    )
                    for of, side in zip(Factors._fields, sides, strict=True)
                )
                self._factors[i] = Factors(rows, columns)
        others = [i for i in range(len(variables)) if i not in self._factors]
        self._place = {i: place for place, i in enumerate(others)}
        self._others = PackedState([self._specs[i] for i in others], add_variable, name)

    def read(self, indices: Sequence[int]) -> list[tf.Tensor | Factors]:
        """The averages of some of the weights, in the order of their packing."""
        vectors = iter(self._others.read(self._places(indices)))
        return [
            next(vectors) if factors is None else Factors(*(f.value for f in factors))
            for factors in self._packed_factors(indices)
        ]

    def averaged(
        self, values: Sequence[tf.Tensor], rate: tf.Tensor, indices: Sequence[int]
    ) -> list[tf.Tensor | Factors]:
        """What the averages would be with packed values' squares taken in."""
        return averaged_squares(self.read(indices), values, rate)

    def move(
        self, values: Sequence[tf.Tensor], rate: tf.Tensor, indices: Sequence[int]
    ) -> list[tf.Tensor | Factors]:
        """Averages packed values' squares in, by `rate`; returns the averages."""
        averages = self.averaged(values, rate, indices)
        self.assign(averages, indices)
        return averages

    def assign(
        self, averages: Sequence[tf.Tensor | Factors], indices: Sequence[int]
    ) -> None:
        """Sets the averages of some of the weights; the others keep theirs."""
        vectors = []
        for factors, average in zip(
            self._packed_factors(indices), averages, strict=True
        ):
            if factors is None:
                vectors.append(average)
            else:
                factors.rows.assign(average.rows)
                factors.columns.assign(average.columns)
        self._others.assign(vectors, self._places(indices))

    def _places(self, indices: Sequence[int]) -> list[int]:
        return [self._place[i] for i in indices if i in self._place]

    def _packed_factors(self, indices: Sequence[int]) -> list[Factors | None]:
        """For each vector of the packed weights its factors, or None."""
        packing = Packing([self._specs[i] for i in indices])
        return [self._factors.get(indices[first]) for first, *_ in packing.members]


def _sides(shape: tf.TensorShape) -> tuple[int, int] | None:
    """Number of rows and columns of a weight that is kept by factors, else None."""
    size = shape.num_elements()
    if size < LONG or shape.rank < 2:
        return None
    rows, columns = size // shape[-1], shape[-1]
    return (rows, columns) if min(rows, columns) > 1 else None
