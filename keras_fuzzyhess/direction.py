"""Where to go: the momentum scaled by curvature, kept inside a few mean lengths."""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.outer_product import OuterProduct, quotient, total
from keras_fuzzyhess.step_length import root_mean_square

GRADIENT_SHARE = 0.2
"""How much of the momentum is this step's gradient, beside the average of all before.
Quasi-hyperbolic momentum of Ma and Yarats, arXiv 1810.06801, who recommend 0.3; the
share is our choice. A long average alone hears too late that the gradient has turned,
a short one keeps the noise; this has the steadiness of the one and the news at once."""

CURVATURE_DAMPING = 0.1
"""Multiple of the mean curvature that keeps flat directions bounded. Our choice."""

EPSILON = 1e-8
"""Keeps the scale positive where nothing has been measured. Adam's, nearly."""

CLIP_FACTOR = 3.0
"""No element of the direction exceeds so many root mean squares. Our choice."""


def newton_adam_direction(
    momentum: Sequence[tf.Tensor],
    curvature: Sequence[tf.Tensor | OuterProduct],
    mean_curvature: tf.Tensor,
    gradient_scale: Sequence[tf.Tensor | OuterProduct],
    power: float,
) -> list[tf.Tensor]:
    """The momentum divided by the preconditioner, outliers clipped.

    Args:
        momentum: List of vectors `m`, averages of the gradient.
        curvature: List of vectors or outer products `sqrt(d)`.
        mean_curvature: Scalar, the mean of `sqrt(d)` over all weights.
        gradient_scale: List of the same kinds, `sqrt(v)`.
        power: Share of curvature, see `preconditioner`.

    Returns:
        List of vectors `u` without unit, whatever the power, elements about 1 where
        gradients agree; the step is along `-u`.

    Example:

    >>> m, d, v = [tf.constant([3.0, 3.0])], [tf.constant([1.5, 0.5])], [[3.0, 3.0]]
    >>> v = [tf.constant(v[0])]
    >>> u = newton_adam_direction(m, d, tf.constant(1.0), v, power=1)
    >>> [round(float(x), 3) for x in u[0]]
    [0.625, 1.667]
    """
    count = sum(m.shape.num_elements() for m in momentum)
    mean = tf.add_n([total(v) for v in gradient_scale])
    direction = [
        quotient(m, preconditioner(d, mean_curvature, v, mean / count, power))
        for m, d, v in zip(momentum, curvature, gradient_scale, strict=True)
    ]
    return clip_to_root_mean_square(direction, CLIP_FACTOR)


def preconditioner(
    curvature: tf.Tensor | OuterProduct,
    mean_curvature: tf.Tensor,
    gradient_scale: tf.Tensor | OuterProduct,
    mean_gradient_scale: tf.Tensor,
    power: float,
) -> tf.Tensor | OuterProduct:
    """Scale of each weight, between Newton's and Adam's.

        D = (mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + 0.1) + eps)**power
            (sqrt(v) + eps)**(1 - power)

    Curvature decides how weights compare with each other; the scale of all of them is
    that of the gradients, so that a step length means the same for every power. Of an
    outer product rows and columns are damped each by themselves, so that the scale is
    one as well; `sqrt(d)` of its rows is without unit, about 1.

    Args:
        curvature: Vector or outer product `sqrt(d)`, the root mean square of the
            curvature samples.
        mean_curvature: Scalar, its mean over all weights; where it is 0, all weights
            count as equally curved.
        gradient_scale: The same of the gradients, `sqrt(v)`.
        mean_gradient_scale: Scalar, its mean over all weights.
        power: Share of curvature: 1 is pure curvature, 0 Adam's scale.

    Returns:
        What `curvature` is, positive.

    Example:

    >>> d, v = tf.constant([3.9, 0.9]), tf.constant([9.0, 1.0])
    >>> preconditioner(d, 1.0, v, 1.0, 0.5).numpy().round(4).tolist()
    [6.0, 1.0]
    """
    slope = mean_gradient_scale * tf.math.divide_no_nan(1.0, mean_curvature)
    equal = tf.where(mean_curvature > 0, 0.0, 1.0)
    offset = mean_gradient_scale * (equal + CURVATURE_DAMPING) + EPSILON
    if not isinstance(curvature, OuterProduct):
        return _mixed_scale(curvature, slope, offset, gradient_scale, power)
    offset_of_rows = tf.where(mean_curvature > 0, CURVATURE_DAMPING, 1.0)
    return OuterProduct(
        _mixed_scale(curvature.rows, 1.0, offset_of_rows, gradient_scale.rows, power),
        _mixed_scale(curvature.columns, slope, offset, gradient_scale.columns, power),
    )


def _mixed_scale(curvature, slope, offset, gradient_scale, power):
    """`(slope curvature + offset)**power (gradient_scale + eps)**(1 - power)`."""
    adam = gradient_scale + EPSILON
    if power == 0:
        return adam
    dtype = curvature.dtype
    newton = tf.cast(slope, dtype) * curvature + tf.cast(offset, dtype)
    if power == 0.5:  # tf.pow takes several times as long as a square root
        return tf.sqrt(newton * adam)
    return newton**power * adam ** (1 - power)


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
    # One operation; `tf.clip_by_value` takes a minimum and a maximum one by one.
    return [
        tf.raw_ops.ClipByValue(
            t=u,
            clip_value_min=-tf.cast(bound, u.dtype),
            clip_value_max=tf.cast(bound, u.dtype),
        )
        for u in direction
    ]
