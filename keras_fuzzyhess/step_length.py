"""How far to go along a direction: the minimum of a parabola measured on the way.

Along the direction `-u` the loss is approximately

    L(w - a u) = L(w) - a s + a**2 kappa / 2 ,    s = g . u ,    kappa = u . H u ,

with its minimum at `a = s / kappa`. Both are measured with one more gradient, at
`w - distance u`. The whole file is our choice: arXiv 2403.15416 takes the learning
rate from its fuzzy system alone.
"""

from collections.abc import Sequence

import tensorflow as tf


def inner_product(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor]) -> tf.Tensor:
    """Inner product of two lists of tensors, accumulated in float32.

    Example:

    >>> x = [tf.constant([1.0, 2.0]), tf.constant([[3.0]])]
    >>> float(inner_product(x, x))
    14.0
    """
    return tf.add_n(
        [tf.cast(tf.reduce_sum(x * y), tf.float32) for x, y in zip(a, b, strict=True)]
    )


def root_mean_square(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Root mean square over all elements of a list of tensors.

    Example:

    >>> float(root_mean_square([tf.constant([3.0, 0.0]), tf.constant([0.0, 3.0])]))
    2.1213202476501465
    """
    count = sum(tensor.shape.num_elements() for tensor in tensors)
    return tf.sqrt(inner_product(tensors, tensors) / count)


def length_of_shift(direction: Sequence[tf.Tensor], radius: float) -> tf.Tensor:
    """How far to go along `u` for the weights to move by `radius`.

    Args:
        direction: List of tensors `u`.
        radius: Root mean square of the shift.

    Returns:
        Scalar; 0 if the direction is zero.

    Example:

    >>> float(length_of_shift([tf.constant([2.0, -2.0])], radius=0.5))
    0.25
    """
    return tf.math.divide_no_nan(radius, root_mean_square(direction))


def slope_and_curvature(
    slope: tf.Tensor,
    shifted_slope: tf.Tensor,
    distance: tf.Tensor,
    last_length: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The parabola along the direction `u` of the step before.

    Args:
        slope: Scalar `g . u` with the gradient at `w`, on a minibatch that the
            direction has not seen (with one that it has, the slope is biased upwards).
        shifted_slope: Scalar `g . u` with the gradient at `w - distance u`.
        distance: Scalar, how far along `-u` the second gradient was taken.
        last_length: Scalar, how far along `-u` the step before went.

    Returns:
        Tuple of two scalars: the slope `s = g . u + last_length kappa`, which is the
        slope at the point where the step before began, and the curvature
        `kappa = |slope - shifted_slope| / distance` (0 where the distance is 0).

    Example:

    >>> w, h = tf.constant(1.0), tf.constant(2.0)
    >>> u, far = tf.constant(1.0), tf.constant(0.5)
    >>> s, kappa = slope_and_curvature(h * w * u, h * (w - far * u) * u, far, 0.0)
    >>> float(s), float(kappa)
    (2.0, 2.0)
    """
    curvature = tf.math.divide_no_nan(tf.abs(slope - shifted_slope), distance)
    return slope + last_length * curvature, curvature


def line_minimum(slope: tf.Tensor, curvature: tf.Tensor) -> tf.Tensor:
    """Length `a = max(s, 0) / kappa` of the step to the minimum of the parabola.

    Args:
        slope: Scalar average of slopes.
        curvature: Scalar average of curvatures, not negative.

    Returns:
        Scalar, at least 0; 0 where the curvature is 0, that is, where nothing has
        been measured.

    Example:

    >>> float(line_minimum(tf.constant(3.0), tf.constant(2.0)))
    1.5
    >>> float(line_minimum(tf.constant(-3.0), tf.constant(2.0)))
    0.0
    """
    return tf.math.divide_no_nan(tf.maximum(slope, 0.0), curvature)
