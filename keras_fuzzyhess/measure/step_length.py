"""How far steps go: the first by the weights, all by what the first one found.

From there on the rules lead. Our choice: arXiv 2403.15416 does not publish its learning
rate.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.parts import Part, scalar
from keras_fuzzyhess.state.moving_average import mix

FIRST_LENGTH = 0.02
"""Root mean square of the first step, as a share of that of the weights."""

SMALLEST_SCALE = 1e-3
"""Weights count as at least so large, for a network may begin at zero."""

LARGEST_MATRIX = 10.0
"""The most that a matrix counts as, in units of LeCun's scale. Our choice."""

SMALLEST_NETWORK = 0.1
"""The least that a network counts as, in units of LeCun's scale. Our choice."""

NO_WEIGHTS = 0.01
"""Matrices that are smaller yet, in the same units, are as good as zeros, and tell
nothing. Our choice."""

WIDEST = 1e4
"""Number of rows from which on a matrix is taken for a table, of which a sample takes
but a few rows, as an embedding's. Our choice."""

LARGEST_SCALE = 1e19
"""And as at most so large, for beyond it the sum of their squares overflows float32."""

LONGEST_SHARE = 0.7
"""How much of the way to the minimum along it the first step may go. Our choice."""

SHORTENING_POWER = 3.0
"""Beyond the minimum gradients soon stop growing, so that the way that was too long
looks shorter than it was; this makes up for it. Our choice."""

LARGEST_SHORTENING = 0.25
"""No minibatch shortens steps to less than this factor. Our choice."""

LARGEST_GROWTH = 1.5
"""How much larger than usual the direction of a step may be. Our choice."""

SIZE_RATE = 0.1
"""Rate of the average of sizes: a memory of about 10 steps. Our choice."""


def first_step_length(weights: Sequence[tf.Tensor]) -> tf.Tensor:
    """Length of the first step along a direction whose elements are about 1.

        a = 0.02 clip(rms(w), 0.001, 1e19)

    One length serves all weights, so none alone may set it: in a network with matrices,
    where LeCun's scale is `l = 1 / sqrt(rows)`, a matrix counts as at most `10 l` and a
    vector or scalar, as a bias that begins at the mean of the targets, as at most 1.
    The whole counts as at least `0.1 l`, and as at least `l` where the matrices are
    zeros or nearly, below `0.01 l`, as heads for fine-tuning. `rows` is the number of
    elements of a column, a matrix is what has more than one, and for `l` it counts as
    at most 10,000.

    Args:
        weights: List of tensors, the initial weights.

    Returns:
        Positive scalar, in units of the weights.

    Example:

    >>> round(float(first_step_length([tf.constant([3.0, -4.0, 0.0, 0.0])])), 6)
    0.05
    >>> kernel = tf.constant([[0.5, -0.5], [0.5, 0.5]])
    >>> round(float(first_step_length([kernel, tf.constant([8000.0])])), 6)
    0.012649
    >>> round(float(first_step_length([tf.zeros((16, 3))])), 6)
    0.005
    """
    sizes = [weight.shape.num_elements() for weight in weights]
    # `l2_loss`, half the sum of squares, reads a vector once and writes nothing.
    halves = [tf.cast(tf.nn.l2_loss(weight), tf.float32) for weight in weights]
    squares = [_usual_square(weight.shape) for weight in weights]
    if any(squares):
        largest = [LARGEST_MATRIX**2 * square or 1.0 for square in squares]
        # In a network without outliers these are the sums themselves, to the bit.
        halves = [
            tf.minimum(half, size * limit / 2)
            for half, size, limit in zip(halves, sizes, largest, strict=True)
        ]
    scale = tf.sqrt(2 * tf.add_n(halves) / sum(sizes))
    if any(squares):
        matrices = [
            half for half, square in zip(halves, squares, strict=True) if square
        ]
        inside = sum(
            size for size, square in zip(sizes, squares, strict=True) if square
        )
        total = sum(n * square for n, square in zip(sizes, squares, strict=True))
        usual = math.sqrt(total / inside)
        is_zero = tf.add_n(matrices) < NO_WEIGHTS**2 * total / 2
        least = tf.where(is_zero, usual, SMALLEST_NETWORK * usual)
        scale = tf.maximum(scale, least)
    return FIRST_LENGTH * tf.clip_by_value(scale, SMALLEST_SCALE, LARGEST_SCALE)


def _usual_square(shape: tf.TensorShape) -> float:
    """LeCun's mean square of a matrix's elements; 0 for what is none, or has none."""
    rows = math.prod(shape[:-1])
    is_matrix = shape.rank > 1 and rows > 1 and shape[-1] > 0
    return 1 / min(rows, WIDEST) if is_matrix else 0.0


def shortening(slope_before: tf.Tensor, slope_after: tf.Tensor) -> tf.Tensor:
    """By how much to shorten steps, after one of them.

        q = 1 - slope_after / slope_before
        factor = clip((0.7 / q)**3, 1/4, 1)

    `q` is the share of the way to the minimum along the step that it went, if the slope
    falls evenly: 0 where it is as steep after the step as before, 1 at the minimum.
    Both slopes are of one minibatch that had no part in the step, so that neither is
    biased by its noise.

    Args:
        slope_before: Scalar, how fast the loss falls along the step at its beginning.
        slope_after: Scalar, the same at its end.

    Returns:
        Scalar in [1/4, 1]; 1 where the loss did not fall at the beginning, for then
        the slopes tell nothing of a minimum.

    Example:

    >>> float(shortening(tf.constant(2.0), tf.constant(1.0)))
    1.0
    >>> round(float(shortening(tf.constant(2.0), tf.constant(0.0))), 3)
    0.343
    """
    share = 1 - tf.math.divide_no_nan(slope_after, slope_before)
    factor = (LONGEST_SHARE / tf.maximum(share, LONGEST_SHARE)) ** SHORTENING_POWER
    return tf.where(slope_before > 0, tf.maximum(factor, LARGEST_SHORTENING), 1.0)


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


class StepLength(Part):
    """How long a step of gain 1 is, from the first weights and the first step.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> length = StepLength()
    >>> length.build([], FuzzyHess().add_variable)
    >>> length.start([tf.constant([3.0, 3.0])])
    >>> round(float(length.along(size=tf.constant(1.0))), 4)
    0.06
    >>> length.shorten(tf.constant(0.5))
    >>> round(float(length.along(size=tf.constant(1.0))), 4)
    0.03
    """

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the length and the usual size of a direction."""
        self._length = scalar(add, "first_length")
        self._usual_size = scalar(add, "usual_size")

    @property
    def value(self) -> tf.Tensor:
        """Length along a direction of the usual size; 0 before the first step."""
        return self._length.value

    def start(self, weights: Sequence[tf.Tensor]) -> None:
        """Takes the length of the first step from the weights, a list of tensors."""
        self._length.assign(first_step_length(weights))

    def along(self, size: tf.Tensor) -> tf.Tensor:
        """By what to multiply the direction of this step, whose size is remembered.

        Args:
            size: Scalar, root mean square of the direction.

        Returns:
            Scalar.
        """
        bounded, usual_size = bounded_size(size, self._usual_size.value)
        self._usual_size.assign(usual_size)
        return self.value * tf.math.divide_no_nan(bounded, size)

    def shorten(self, factor: tf.Tensor) -> None:
        """Multiplies the length by a factor."""
        self._length.assign(factor * self.value)


class UnitLength(Part):
    """1: the paper's learning rate comes from the fuzzy system alone."""

    @property
    def value(self) -> tf.Tensor:
        """1."""
        return tf.constant(1.0)

    def start(self, weights: Sequence[tf.Tensor]) -> None:
        """Nothing: it does not depend on them."""

    def along(self, size: tf.Tensor) -> tf.Tensor:
        """1, whatever the size."""
        return tf.constant(1.0)
