"""How far the first step goes; from there on the rules lead.

Our choice: arXiv 2403.15416 does not publish its learning rate.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.moving_average import mix

FIRST_LENGTH = 0.02
"""Root mean square of the first step, as a share of that of the weights."""

SMALLEST_SCALE = 1e-3
"""Weights count as at least so large, for a network may begin at zero."""

LARGEST_SCALE = 1e19
"""And as at most so large, for beyond it the sum of their squares overflows float32."""

LARGEST_GROWTH = 1.5
"""How much larger than usual the direction of a step may be. Our choice."""

SIZE_RATE = 0.1
"""Rate of the average of sizes: a memory of about 10 steps. Our choice."""


def root_mean_square(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Root mean square over all elements of a list of tensors, summed in float32.

    Example:

    >>> float(root_mean_square([tf.constant([3.0, 0.0]), tf.constant([0.0, 3.0])]))
    2.1213202476501465
    """
    count = sum(tensor.shape.num_elements() for tensor in tensors)
    # `l2_loss`, half the sum of squares, reads a vector once and writes nothing.
    halves = [tf.cast(tf.nn.l2_loss(x), tf.float32) for x in tensors]
    return tf.sqrt(2 * tf.add_n(halves) / count)


def first_step_length(weights: Sequence[tf.Tensor]) -> tf.Tensor:
    """Length of the first step along a direction whose elements are about 1.

        a = 0.02 clip(rms(w), 0.001, 1e19)

    Args:
        weights: List of tensors, the initial weights.

    Returns:
        Positive scalar, in units of the weights.

    Example:

    >>> round(float(first_step_length([tf.constant([3.0, -4.0, 0.0, 0.0])])), 6)
    0.05
    """
    scale = root_mean_square(weights)
    return FIRST_LENGTH * tf.clip_by_value(scale, SMALLEST_SCALE, LARGEST_SCALE)


def bounded_size(size: tf.Tensor, usual_size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The size of a step's direction, at most 1.5 times the usual.

    Where few minibatches have gradients much larger than all others, the direction is
    small but for those, and the gain so large that one of them could undo a training.
    Adafactor (arXiv 1804.04235) bounds updates by a constant; here by their past.

    Args:
        size: Scalar, root mean square of the direction.
        usual_size: Scalar, the moving average of bounded sizes; 0 before the first.

    Returns:
        Tuple of scalars: the bounded size, and the moving average with it.

    Example:

    >>> size, usual_size = bounded_size(tf.constant(9.0), tf.constant(2.0))
    >>> float(size), round(float(usual_size), 6)
    (3.0, 2.1)
    """
    usual_size = tf.where(usual_size > 0, usual_size, size)
    bounded = tf.minimum(size, LARGEST_GROWTH * usual_size)
    return bounded, mix(usual_size, bounded, SIZE_RATE)
