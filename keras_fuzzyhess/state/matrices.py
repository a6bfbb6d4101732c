"""Weights as matrices, and as kernels with a window."""

import math

import tensorflow as tf


def matrix_sides(shape: tf.TensorShape) -> tuple[int, int] | None:
    """Number of rows and columns of a weight that is a matrix.

    Columns are the last axis, rows all others together: a convolution's kernel has a
    row for each place of its window and each channel that it reads.

    Args:
        shape: `tf.TensorShape` of a weight.

    Returns:
        Tuple of two integers, or None for a weight with one row, one column or none.

    Example:

    >>> [matrix_sides(tf.TensorShape(s)) for s in ([3, 3, 8, 16], [1, 8], [8])]
    [(72, 16), None, None]
    """
    if shape.rank < 2 or not shape.num_elements():
        return None
    rows, columns = math.prod(shape[:-1]), shape[-1]
    return (rows, columns) if min(rows, columns) > 1 else None


def kernel_sides(shape: tf.TensorShape) -> tuple[int, int, int]:
    """Numbers of places in the window, of inputs and of outputs of a kernel.

    Outputs are the last axis, inputs the one before, the window all others together.

    Args:
        shape: `tf.TensorShape` of a weight with at least two axes.

    Returns:
        Tuple of three integers, without a window 1.

    Example:

    >>> [kernel_sides(tf.TensorShape(s)) for s in ([3, 3, 8, 16], [8, 16])]
    [(9, 8, 16), (1, 8, 16)]
    """
    *window, inputs, outputs = shape
    return math.prod(window), inputs, outputs
