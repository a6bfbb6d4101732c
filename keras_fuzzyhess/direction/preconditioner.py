"""How much each weight moves beside others: scales of curvature and of gradients."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.backend.in_place import clip
from keras_fuzzyhess.state.outer_product import OuterProduct, mean, quotient
from keras_fuzzyhess.state.packing import map_joined
from keras_fuzzyhess.state.vectors import root_mean_square


def quasi_hyperbolic(
    momentum: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    share: tf.Tensor | float,
) -> list[tf.Tensor]:
    """Momentum of which this step's gradient is a share, `1 / (1 - share)` times it.

        m + share / (1 - share) g

    One pass over all weights less than `(1 - share) m + share g`; a step is multiplied
    by `1 - share` all the same.

    Args:
        momentum: List of tensors `m`, averages of the gradient.
        gradients: List of tensors `g` of the same shapes.
        share: Scalar in [0, 1).

    Returns:
        List of tensors.

    Example:

    >>> m, g = [tf.constant([1.0])], [tf.constant([3.0])]
    >>> 0.5 * quasi_hyperbolic(m, g, 0.5)[0].numpy().item()
    2.0
    """
    ratio = share / (1 - share)
    return [
        m + tf.cast(ratio, g.dtype) * g
        for m, g in zip(momentum, gradients, strict=True)
    ]


def scaled(
    vectors: Sequence[tf.Tensor], scales: Sequence[tf.Tensor | OuterProduct]
) -> list[tf.Tensor]:
    """Vectors divided by the preconditioner, so that they have no unit.

    Args:
        vectors: List of vectors, as averages of the gradient.
        scales: List of vectors or outer products, positive.

    Returns:
        List of vectors `u`, with elements about 1 where gradients agree.

    Example:

    >>> scaled([tf.constant([3.0, 3.0])], [tf.constant([4.8, 1.5])])[0].numpy().tolist()
    [0.625, 2.0]
    """
    return [quotient(x, scale) for x, scale in zip(vectors, scales, strict=True)]


def clipped(
    vectors: Sequence[tf.Tensor], clip_factor: float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Vectors without outliers.

    Args:
        vectors: List of vectors.
        clip_factor: Positive float, the most root mean squares of an element.

    Returns:
        Tuple of the list of vectors, and of their root mean square before any was
        clipped.

    Example:

    >>> vectors, size = clipped([tf.constant([0.0, 0.0, 0.0, 2.0])], 1.5)
    >>> vectors[0].numpy().tolist(), float(size)
    ([0.0, 0.0, 0.0, 1.5], 1.0)
    """
    size = root_mean_square(vectors)
    return [clip(u, clip_factor * size) for u in vectors], size


def adam_scale(
    gradient_scale: Sequence[tf.Tensor | OuterProduct], floor: float, epsilon: float
) -> list[tf.Tensor | OuterProduct]:
    """Adam's scale of each weight, `sqrt(v) + floor mean(sqrt(v)) + epsilon`.

    Without a floor, where gradients are rounding alone steps are as long as elsewhere.
    Of an outer product it is `(rows + floor + epsilon) (columns + floor mean(sqrt(v)) +
    epsilon)`, for rows are about 1.

    Args:
        gradient_scale: List of vectors or outer products `sqrt(v)`.
        floor: Multiple of their mean, over all weights, that is added to all.
        epsilon: Positive float, where nothing has been measured.

    Returns:
        List of what `gradient_scale` has, positive.

    Example:

    >>> adam_scale([tf.constant([2.0, 0.0])], 0.5, 0.25)[0].numpy().tolist()
    [2.75, 0.75]
    """
    lowest = floor * mean(gradient_scale) + epsilon

    def raised(values, by):
        return values + tf.cast(by, values.dtype)

    outer = [v for v in gradient_scale if isinstance(v, OuterProduct)]
    outer_products = map(
        OuterProduct,
        map_joined(lambda rows: raised(rows, floor + epsilon), [v.rows for v in outer]),
        map_joined(lambda columns: raised(columns, lowest), [v.columns for v in outer]),
    )
    return [
        next(outer_products) if isinstance(v, OuterProduct) else raised(v, lowest)
        for v in gradient_scale
    ]


def preconditioner(
    curvature: Sequence[tf.Tensor | OuterProduct],
    mean_curvature: tf.Tensor,
    gradient_scale: Sequence[tf.Tensor | OuterProduct],
    power: float,
    damping: float,
    epsilon: float,
) -> list[tf.Tensor | OuterProduct]:
    """Scale of each weight, between Newton's and Adam's.

        D = (mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + damping) + eps)**power
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
        damping: Multiple of the mean curvature that is added to all.
        epsilon: Positive float, where nothing has been measured.

    Returns:
        List of what `curvature` has, positive.

    Example:

    >>> d, v = [tf.constant([3.9, 0.9])], [tf.constant([2.0, 2.0])]
    >>> preconditioner(d, 1.0, v, 0.5, 0.1, 1e-8)[0].numpy().round(4).tolist()
    [4.0, 2.0]
    """
    mean_scale = mean(gradient_scale)
    mean_curvature = tf.convert_to_tensor(mean_curvature)
    slope = mean_scale * tf.math.divide_no_nan(1.0, mean_curvature)
    of_matrix = tf.where(mean_curvature > 0, damping, 1 + damping)
    of_matrix_rows = tf.where(mean_curvature > 0, damping, 1.0)
    epsilon = tf.constant(epsilon)
    mixed = functools.partial(
        _mixed_scale,
        slope=slope,
        offset=mean_scale * of_matrix + epsilon,
        epsilon=epsilon,
        power=power,
    )
    of_rows = functools.partial(mixed, slope=tf.ones(()), offset=of_matrix_rows)
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
