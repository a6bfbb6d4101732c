"""Where to go: the momentum scaled by curvature, kept inside a few mean lengths."""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.step_length import root_mean_square


def preconditioner(
    curvature: tf.Tensor,
    mean_curvature: tf.Tensor,
    gradient_scale: tf.Tensor | None,
    power: float,
    damping: float,
    epsilon: float,
) -> tf.Tensor:
    """Scale of each weight, between Newton's and Adam's.

        D = (sqrt(d) + damping mean(sqrt(d)) + eps)**power (sqrt(v) + eps)**(1 - power)

    Args:
        curvature: Tensor `sqrt(d)`, the root mean square of the curvature samples.
        mean_curvature: Scalar, the mean of `sqrt(d)` over all weights.
        gradient_scale: Tensor `sqrt(v)`, the root mean square of the gradients; not
            used, and may be None, if `power` is 1.
        power: Share of curvature: 1 is pure curvature, 0 Adam's scale.
        damping: Multiple of the mean that keeps flat directions bounded.
        epsilon: Keeps the scale positive where nothing has been measured.

    Returns:
        Positive tensor.

    Example:

    >>> d, v = tf.constant([4.0, 1.0]), tf.constant([9.0, 1.0])
    >>> preconditioner(d, 0.0, v, 0.5, 0.0, 0.0).numpy().tolist()
    [6.0, 1.0]
    """
    if power == 0:
        return gradient_scale + epsilon
    bounded = curvature + damping * mean_curvature + epsilon
    if power == 1:
        return bounded
    gradient_scale = gradient_scale + epsilon
    if power == 0.5:  # tf.pow takes several times as long as a square root
        return tf.sqrt(bounded * gradient_scale)
    return bounded**power * gradient_scale ** (1 - power)


def clip_to_root_mean_square(
    direction: Sequence[tf.Tensor], factor: float
) -> list[tf.Tensor]:
    """Clips every element to `factor` times the root mean square of all.

    Args:
        direction: List of tensors.
        factor: Positive float.

    Returns:
        List of tensors.

    Example:

    >>> u = [tf.constant([10.0, 0.0, 0.0, 0.0])]
    >>> clip_to_root_mean_square(u, 1.0)[0].numpy().tolist()
    [5.0, 0.0, 0.0, 0.0]
    """
    bound = factor * root_mean_square(direction)
    return [
        tf.clip_by_value(u, -tf.cast(bound, u.dtype), tf.cast(bound, u.dtype))
        for u in direction
    ]
