"""Sums over all elements of lists of vectors, in float32."""

from collections.abc import Sequence

import tensorflow as tf


def root_mean_square(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Root mean square over all elements of a list of tensors, summed in float32.

    Example:

    >>> float(root_mean_square([tf.constant([3.0, 0.0]), tf.constant([0.0, 3.0])]))
    2.1213202476501465
    """
    count = sum(tensor.shape.num_elements() for tensor in tensors)
    return tf.sqrt(sum_of_squares(tensors) / count)


def sum_of_squares(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sum of the squares of all elements of a list of tensors, in float32.

    Example:

    >>> float(sum_of_squares([tf.constant([3.0, 0.0]), tf.constant([4.0])]))
    25.0
    """
    # `l2_loss`, half the sum of squares, reads a vector once and writes nothing.
    halves = [tf.cast(tf.nn.l2_loss(x), tf.float32) for x in tensors]
    return 2 * tf.add_n(halves)


def dot(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor]) -> tf.Tensor:
    """Inner product of two lists of vectors, in float32.

    Example:

    >>> float(dot([tf.constant([1.0, 2.0])], [tf.constant([3.0, 4.0])]))
    11.0
    """
    axis = tf.constant([0])
    products = [tf.reduce_sum(x * y, axis) for x, y in zip(a, b, strict=True)]
    return tf.add_n([tf.cast(product, tf.float32) for product in products])


def has_finite_norm(vectors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether all elements, and the sum of their squares, are finite in float32.

    Example:

    >>> bool(has_finite_norm([tf.constant([1e18]), tf.constant([float("nan")])]))
    False
    """
    # `l2_loss` reads a vector once and writes nothing, unlike an `is_finite` of each.
    sums = [tf.cast(tf.nn.l2_loss(vector), tf.float32) for vector in vectors]
    return tf.math.is_finite(tf.add_n(sums))
