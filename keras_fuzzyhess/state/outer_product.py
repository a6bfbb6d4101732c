"""Matrices that are a column times a row, without a number for each element."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class OuterProduct(NamedTuple):
    """The matrix `rows[i] columns[j]`.

    Attributes:
        rows: Vector, one number for each row.
        columns: Vector, one number for each column.
    """

    rows: tf.Tensor
    columns: tf.Tensor


def dense(values: tf.Tensor | OuterProduct) -> tf.Tensor:
    """All elements, those of a matrix row by row.

    Args:
        values: Vector or `OuterProduct`.

    Returns:
        Vector.

    Example:

    >>> dense(OuterProduct(tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0]))).numpy()
    array([3., 4., 6., 8.], dtype=float32)
    """
    if not isinstance(values, OuterProduct):
        return values
    # A product of matrices, for without XLA broadcasting takes longer.
    matrix = tf.matmul(
        tf.expand_dims(values.rows, 1), tf.expand_dims(values.columns, 0)
    )
    return tf.reshape(matrix, [-1])


def quotient(values: tf.Tensor, divisor: tf.Tensor | OuterProduct) -> tf.Tensor:
    """A vector divided element by element.

    Args:
        values: Vector, that of a matrix row by row.
        divisor: Vector or `OuterProduct`, positive.

    Returns:
        Vector.

    Example:

    >>> divisor = OuterProduct(tf.constant([1.0, 2.0]), tf.constant([4.0, 8.0]))
    >>> quotient(tf.constant([4.0, 8.0, 8.0, 32.0]), divisor).numpy()
    array([1., 1., 1., 2.], dtype=float32)
    """
    if not isinstance(divisor, OuterProduct):
        return values / divisor
    return values * dense(OuterProduct(*map(tf.math.reciprocal, divisor)))


def size(values: tf.Tensor | OuterProduct) -> int:
    """The number of all elements.

    Example:

    >>> size(OuterProduct(tf.zeros(2), tf.zeros(3)))
    6
    """
    if not isinstance(values, OuterProduct):
        return values.shape.num_elements()
    return values.rows.shape[0] * values.columns.shape[0]


def mean(values: Sequence[tf.Tensor | OuterProduct]) -> tf.Tensor:
    """The mean of all elements of a list, in float32.

    Example:

    >>> float(mean([OuterProduct(tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0]))]))
    5.25
    """
    return tf.add_n([total(x) for x in values]) / sum(size(x) for x in values)


def total(values: tf.Tensor | OuterProduct) -> tf.Tensor:
    """The sum of all elements, in float32.

    Args:
        values: Vector or `OuterProduct`.

    Returns:
        Scalar.

    Example:

    >>> float(total(OuterProduct(tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0]))))
    21.0
    """
    if not isinstance(values, OuterProduct):
        return tf.cast(tf.reduce_sum(values), tf.float32)
    rows, columns = (tf.cast(tf.reduce_sum(side), tf.float32) for side in values)
    return rows * columns
