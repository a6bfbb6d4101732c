"""Where to go: the momentum scaled by curvature, kept inside a few mean lengths."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.outer_product import OuterProduct, mean, quotient
from keras_fuzzyhess.packing import map_joined
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


def quasi_hyperbolic(
    momentum: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor], share: float
) -> list[tf.Tensor]:
    """Momentum of which this step's gradient is a share, `1 / (1 - share)` times it.

        m + share / (1 - share) g

    One pass over all weights less than `(1 - share) m + share g`; a step is multiplied
    by `1 - share` all the same.

    Args:
        momentum: List of tensors `m`, averages of the gradient.
        gradients: List of tensors `g` of the same shapes.
        share: Float in [0, 1).

    Returns:
        List of tensors.

    Example:

    >>> m, g = [tf.constant([1.0])], [tf.constant([3.0])]
    >>> 0.5 * quasi_hyperbolic(m, g, 0.5)[0].numpy().item()
    2.0
    """
    ratio = share / (1 - share)
    return [m + ratio * g for m, g in zip(momentum, gradients, strict=True)]


def newton_adam_direction(
    momentum: Sequence[tf.Tensor],
    curvature: Sequence[tf.Tensor | OuterProduct],
    mean_curvature: tf.Tensor,
    gradient_scale: Sequence[tf.Tensor | OuterProduct],
    power: float,
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The momentum divided by the preconditioner, outliers clipped.

    Args:
        momentum: List of vectors `m`, averages of the gradient.
        curvature: List of vectors or outer products `sqrt(d)`.
        mean_curvature: Scalar, the mean of `sqrt(d)` over all weights.
        gradient_scale: List of the same kinds, `sqrt(v)`.
        power: Share of curvature, see `preconditioner`.

    Returns:
        Tuple of the list of vectors `u` without unit, whatever the power, elements
        about 1 where gradients agree, and of their root mean square before any was
        clipped. The step is along `-u`.

    Example:

    >>> m, d, v = ([tf.constant(x)] for x in ([3.0, 3.0], [1.5, 0.5], [3.0, 3.0]))
    >>> u, size = newton_adam_direction(m, d, tf.constant(1.0), v, power=1)
    >>> [round(float(x), 3) for x in (*u[0], size)]
    [0.625, 1.667, 1.259]
    """
    scales = preconditioner(curvature, mean_curvature, gradient_scale, power)
    direction = [quotient(m, scale) for m, scale in zip(momentum, scales, strict=True)]
    size = root_mean_square(direction)
    return clip(direction, CLIP_FACTOR * size), size


def preconditioner(
    curvature: Sequence[tf.Tensor | OuterProduct],
    mean_curvature: tf.Tensor,
    gradient_scale: Sequence[tf.Tensor | OuterProduct],
    power: float,
) -> list[tf.Tensor | OuterProduct]:
    """Scale of each weight, between Newton's and Adam's.

        D = (mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + 0.1) + eps)**power
            (sqrt(v) + eps)**(1 - power)

    Curvature decides how weights compare with each other; the scale of all of them is
    that of the gradients, so that a step length means the same for every power. Of an
    outer product rows and columns are damped each by themselves, so that the scale is
    one as well; `sqrt(d)` of its rows is without unit, about 1.

    Args:
        curvature: List of vectors or outer products `sqrt(d)`, the root mean squares of
            the curvature samples.
        mean_curvature: Scalar, their mean over all weights; where it is 0, all weights
            count as equally curved.
        gradient_scale: The same of the gradients, `sqrt(v)`.
        power: Share of curvature: 1 is pure curvature, 0 Adam's scale.

    Returns:
        List of what `curvature` has, positive.

    Example:

    >>> d, v = [tf.constant([3.9, 0.9])], [tf.constant([2.0, 2.0])]
    >>> preconditioner(d, 1.0, v, 0.5)[0].numpy().round(4).tolist()
    [4.0, 2.0]
    """
    mean_scale = mean(gradient_scale)
    mean_curvature = tf.convert_to_tensor(mean_curvature)
    slope = mean_scale * tf.math.divide_no_nan(1.0, mean_curvature)
    damping = tf.where(mean_curvature > 0, CURVATURE_DAMPING, 1 + CURVATURE_DAMPING)
    damping_of_rows = tf.where(mean_curvature > 0, CURVATURE_DAMPING, 1.0)
    epsilon = tf.constant(EPSILON)
    mixed = functools.partial(
        _mixed_scale,
        slope=slope,
        offset=mean_scale * damping + epsilon,
        epsilon=epsilon,
        power=power,
    )
    of_rows = functools.partial(mixed, slope=tf.ones(()), offset=damping_of_rows)
    ds = [d for d in curvature if isinstance(d, OuterProduct)]
    vs = [v for v in gradient_scale if isinstance(v, OuterProduct)]
    outer_products = map(
        OuterProduct,
        map_joined(of_rows, [d.rows for d in ds], [v.rows for v in vs]),
        map_joined(mixed, [d.columns for d in ds], [v.columns for v in vs]),
    )
    return [
        next(outer_products) if isinstance(d, OuterProduct) else mixed(d, v)
        for d, v in zip(curvature, gradient_scale, strict=True)
    ]


def _mixed_scale(curvature, gradient_scale, slope, offset, epsilon, power):
    """`(slope curvature + offset)**power (gradient_scale + epsilon)**(1 - power)`."""
    dtype = curvature.dtype
    slope, offset, epsilon = (tf.cast(x, dtype) for x in (slope, offset, epsilon))
    adam = gradient_scale + epsilon
    if power == 0:
        return adam
    newton = slope * curvature + offset
    if power == 0.5:  # tf.pow takes several times as long as a square root
        return tf.sqrt(newton * adam)
    return newton**power * adam ** (1 - power)


def clip(direction: Sequence[tf.Tensor], bound: tf.Tensor) -> list[tf.Tensor]:
    """Clips every element to a bound.

    Args:
        direction: List of tensors.
        bound: Positive scalar.

    Returns:
        List of tensors.

    Example:

    >>> clip([tf.constant([10.0, 0.0, -7.0])], tf.constant(5.0))[0].numpy().tolist()
    [5.0, 0.0, -5.0]
    """
    low = -bound
    # One operation; `tf.clip_by_value` takes a minimum and a maximum one by one.
    return [
        tf.raw_ops.ClipByValue(
            t=u,
            clip_value_min=tf.cast(low, u.dtype),
            clip_value_max=tf.cast(bound, u.dtype),
        )
        for u in direction
    ]
