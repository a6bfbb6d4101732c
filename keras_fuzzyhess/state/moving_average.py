"""Exponential moving averages without a bias towards their start."""

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
    average = tf.convert_to_tensor(average)  # a variable is read once
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


def unbiased_rate(
    rate: float | tf.Tensor, weight: float | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The rate that keeps an average free of a bias towards its start.

    An average that starts at 0 and moves by `rate` must be divided by the sum of the
    weights of the values in it, as Adam does. Moving by `rate / weight` in its place
    gives that quotient itself, without a division of all elements in every step. The
    first value is taken whole.

    Args:
        rate: Scalar in [0, 1], the weight of the next value.
        weight: Scalar in [0, 1], the sum of the weights of the values before.

    Returns:
        Tuple of scalars: the rate, and the sum with the next value. With one rate for
        all, the sum is `1 - (1 - rate)**n` after `n` values.

    Example:

    >>> average, weight = tf.constant(0.0), tf.constant(0.0)
    >>> for value in (3.0, 3.0):
    ...     unbiased, weight = unbiased_rate(0.25, weight)
    ...     average = mix(average, value, unbiased)
    >>> float(average), float(weight)
    (3.0, 0.4375)
    """
    weight = mix(tf.convert_to_tensor(weight, tf.float32), 1.0, rate)
    return tf.math.divide_no_nan(tf.cast(rate, tf.float32), weight), weight
