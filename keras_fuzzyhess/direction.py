"""Where to go: the momentum scaled by curvature, kept inside a few mean lengths."""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.step_length import root_mean_square

CURVATURE_DAMPING = 0.1
"""Multiple of the mean curvature that keeps flat directions bounded. Our choice."""

EPSILON = 1e-8
"""Keeps the scale positive where nothing has been measured. Adam's, nearly."""

CLIP_FACTOR = 3.0
"""No element of the direction exceeds so many root mean squares. Our choice."""


def newton_adam_direction(
    momentum: Sequence[tf.Tensor],
    curvature: Sequence[tf.Tensor],
    mean_curvature: tf.Tensor,
    gradient_scale: Sequence[tf.Tensor] | None,
    power: float,
) -> list[tf.Tensor]:
    """The momentum divided by the preconditioner, outliers clipped.

    Args:
        momentum: List of tensors `m`, averages of the gradient.
        curvature: List of tensors `sqrt(d)`.
        mean_curvature: Scalar, the mean of `sqrt(d)` over all weights.
        gradient_scale: List of tensors `sqrt(v)`, or None for
            pure curvature.
        power: Share of curvature, see `preconditioner`.

    Returns:
        List of tensors `u`; the step is along `-u`.

    Example:

    >>> m, d = [tf.constant([4.0, -1.1])], [tf.constant([2.0, 1.0])]
    >>> u = newton_adam_direction(m, d, tf.constant(0.0), None, power=1)
    >>> [round(float(x), 3) for x in u[0]]
    [2.0, -1.1]
    """
    scales = [None] * len(momentum) if gradient_scale is None else gradient_scale
    direction = [
        m / preconditioner(d, tf.cast(mean_curvature, d.dtype), v, power)
        for m, d, v in zip(momentum, curvature, scales, strict=True)
    ]
    return clip_to_root_mean_square(direction, CLIP_FACTOR)


def preconditioner(
    curvature: tf.Tensor,
    mean_curvature: tf.Tensor,
    gradient_scale: tf.Tensor | None,
    power: float,
) -> tf.Tensor:
    """Scale of each weight, between Newton's and Adam's.

        D = (sqrt(d) + 0.1 mean(sqrt(d)) + eps)**power (sqrt(v) + eps)**(1 - power)

    Args:
        curvature: Tensor `sqrt(d)`, the root mean square of the curvature samples.
        mean_curvature: Scalar, the mean of `sqrt(d)` over all weights.
        gradient_scale: Tensor `sqrt(v)`, the root mean square of the gradients, or
            None for pure curvature.
        power: Share of curvature: 1 is pure curvature, 0 Adam's scale.

    Returns:
        Positive tensor.

    Example:

    >>> d, v = tf.constant([4.0, 1.0]), tf.constant([9.0, 1.0])
    >>> preconditioner(d, 0.0, v, 0.5).numpy().round(4).tolist()
    [6.0, 1.0]
    """
    bounded = curvature + CURVATURE_DAMPING * mean_curvature + EPSILON
    if gradient_scale is None:
        return bounded
    gradient_scale = gradient_scale + EPSILON
    if power == 0:
        return gradient_scale
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
