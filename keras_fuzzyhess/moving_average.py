"""Exponential moving averages, and what undoes a start at zero."""

from collections.abc import Sequence

import tensorflow as tf


def mix(
    average: tf.Tensor, value: tf.Tensor | float, rate: tf.Tensor | float
) -> tf.Tensor:
    """One step of a moving average, `average + rate (value - average)`.

    Args:
        average: Tensor.
        value: Tensor of its shape.
        rate: Scalar in [0, 1], the weight of the new value.

    Example:

    >>> float(mix(tf.constant(1.0), 3.0, 0.25))
    1.5
    """
    return average + rate * (value - average)


def moved_average(
    averages: Sequence[tf.Tensor], values: Sequence[tf.Tensor], rate: float | tf.Tensor
) -> list[tf.Tensor]:
    """`mix` of each of them, in its own dtype.

    Args:
        averages: List of tensors.
        values: List of tensors of the same shapes.
        rate: Scalar in [0, 1], the weight of the new values.

    Returns:
        List of tensors.

    Example:

    >>> moved_average([tf.constant(1.0)], [tf.constant(3.0)], 0.25)[0].numpy().item()
    1.5
    """
    return [
        mix(average, value, tf.cast(rate, average.dtype))
        for average, value in zip(averages, values, strict=True)
    ]


def unbiased_average(
    averages: Sequence[tf.Tensor], weight: float | tf.Tensor
) -> list[tf.Tensor]:
    """`average / weight`, as Adam corrects the bias towards the start at zero.

    Args:
        averages: List of tensors.
        weight: Scalar in [0, 1], the sum of the weights of the values in them: the same
            average of ones, `1 - (1 - rate)**n` after `n` values with one rate.

    Returns:
        List of tensors, zero where the weight is.

    Example:

    >>> averages = moved_average([tf.constant(0.0)], [tf.constant(3.0)], 0.25)
    >>> unbiased_average(averages, 0.25)[0].numpy().item()
    3.0
    >>> unbiased_average([tf.constant(0.0)], 0.0)[0].numpy().item()
    0.0
    """
    # A division by the scalar of each element would take several times as long.
    factor = tf.math.divide_no_nan(1.0, tf.cast(weight, tf.float32))
    return [average * tf.cast(factor, average.dtype) for average in averages]
