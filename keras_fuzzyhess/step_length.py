"""How far the first step goes; from there on the rules lead.

Our choice: arXiv 2403.15416 does not publish its learning rate.
"""

from collections.abc import Sequence

import tensorflow as tf

FIRST_LENGTH = 0.03
"""Root mean square of the first step, as a share of that of the weights."""

SMALLEST_SCALE = 1e-3
"""Weights count as at least so large, for a network may begin at zero."""


def root_mean_square(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Root mean square over all elements of a list of tensors, summed in float32.

    Example:

    >>> float(root_mean_square([tf.constant([3.0, 0.0]), tf.constant([0.0, 3.0])]))
    2.1213202476501465
    """
    count = sum(tensor.shape.num_elements() for tensor in tensors)
    squares = [tf.cast(tf.reduce_sum(x * x), tf.float32) for x in tensors]
    return tf.sqrt(tf.add_n(squares) / count)


def first_step_length(weights: Sequence[tf.Tensor]) -> tf.Tensor:
    """Length of the first step along a direction whose elements are about 1.

        a = 0.03 max(rms(w), 0.001)

    Args:
        weights: List of tensors, the initial weights.

    Returns:
        Positive scalar, in units of the weights.

    Example:

    >>> round(float(first_step_length([tf.constant([3.0, -4.0, 0.0, 0.0])])), 6)
    0.075
    """
    return FIRST_LENGTH * tf.maximum(root_mean_square(weights), SMALLEST_SCALE)
