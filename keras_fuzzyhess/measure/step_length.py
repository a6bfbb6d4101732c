"""How far steps go: the first by the weights, all by what the first one found.

From there on the rules lead. Our choice: arXiv 2403.15416 does not publish its learning
rate.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.constants import check_constants
from keras_fuzzyhess.parts import Part, scalar
from keras_fuzzyhess.state.moving_average import mix

LARGEST_SCALE = 1e19
"""Weights count as at most so large, for beyond it the sum of their squares overflows
float32. No choice, so no constant of the part."""


def first_step_length(
    weights: Sequence[tf.Tensor],
    share: float,
    smallest_scale: float,
    largest_matrix: float,
    smallest_network: float,
    no_weights: float,
    widest: float,
) -> tf.Tensor:
    """Length of the first step along a direction whose elements are about 1.

        a = share clip(rms(w), smallest_scale, 1e19)

    One length serves all weights, so none alone may set it: in a network with matrices,
    where LeCun's scale is `l = 1 / sqrt(rows)`, a matrix counts as at most
    `largest_matrix l` and a vector or scalar, as a bias that begins at the mean of the
    targets, as at most 1. The whole counts as at least `smallest_network l`, and as at
    least `l` where the matrices are zeros or nearly, below `no_weights l`, as heads for
    fine-tuning. `rows` is the number of elements of a column, a matrix is what has more
    than one, and for `l` it counts as at most `widest`.

    Args:
        weights: List of tensors, the initial weights.
        share: Positive float. This and all others as in `StepLength`.
        smallest_scale: Positive float.
        largest_matrix: Float of at least 1.
        smallest_network: Float in [0, 1].
        no_weights: Float in [0, 1].
        widest: Float of at least 1.

    Returns:
        Positive scalar, in units of the weights.

    Example:

    >>> constants = (0.02, 1e-3, 10.0, 0.1, 0.01, 1e4)
    >>> weights = [tf.constant([3.0, -4.0, 0.0, 0.0])]
    >>> round(float(first_step_length(weights, *constants)), 6)
    0.05
    >>> kernel = tf.constant([[0.5, -0.5], [0.5, 0.5]])
    >>> weights = [kernel, tf.constant([8000.0])]
    >>> round(float(first_step_length(weights, *constants)), 6)
    0.012649
    >>> round(float(first_step_length([tf.zeros((16, 3))], *constants)), 6)
    0.005
    """
    sizes = [weight.shape.num_elements() for weight in weights]
    # `l2_loss`, half the sum of squares, reads a vector once and writes nothing.
    halves = [tf.cast(tf.nn.l2_loss(weight), tf.float32) for weight in weights]
    squares = [_usual_square(weight.shape, widest) for weight in weights]
    if any(squares):
        largest = [largest_matrix**2 * square or 1.0 for square in squares]
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
        is_zero = tf.add_n(matrices) < no_weights**2 * total / 2
        least = tf.where(is_zero, usual, smallest_network * usual)
        scale = tf.maximum(scale, least)
    return share * tf.clip_by_value(scale, smallest_scale, LARGEST_SCALE)


def _usual_square(shape: tf.TensorShape, widest: float) -> float:
    """LeCun's mean square of a matrix's elements; 0 for what is none, or has none.

    A kernel of one column is a matrix here, for its inputs set its scale.
    """
    rows = math.prod(shape[:-1])
    is_matrix = shape.rank > 1 and rows > 1 and shape[-1] > 0
    return 1 / min(rows, widest) if is_matrix else 0.0


def shortening(
    slope_before: tf.Tensor,
    slope_after: tf.Tensor,
    longest_share: float,
    power: float,
    largest: float,
) -> tf.Tensor:
    """By how much to shorten steps, after one of them.

        q = 1 - slope_after / slope_before
        factor = clip((longest_share / q)**power, largest, 1)

    `q` is the share of the way to the minimum along the step that it went, if the slope
    falls evenly: 0 where it is as steep after the step as before, 1 at the minimum.
    Both slopes are of one minibatch that had no part in the step, so that neither is
    biased by its noise.

    Args:
        slope_before: Scalar, how fast the loss falls along the step at its beginning.
        slope_after: Scalar, the same at its end.
        longest_share: Positive float. This and both others as in `StepLength`.
        power: Float of at least 0.
        largest: Float in (0, 1].

    Returns:
        Scalar in [largest, 1]; 1 where the loss did not fall at the beginning, for then
        the slopes tell nothing of a minimum.

    Example:

    >>> float(shortening(tf.constant(2.0), tf.constant(1.0), 0.7, 3.0, 0.25))
    1.0
    >>> round(float(shortening(tf.constant(2.0), tf.constant(0.0), 0.7, 3.0, 0.25)), 3)
    0.343
    """
    share = 1 - tf.math.divide_no_nan(slope_after, slope_before)
    factor = (longest_share / tf.maximum(share, longest_share)) ** power
    return tf.where(slope_before > 0, tf.maximum(factor, largest), 1.0)


def bounded_size(
    size: tf.Tensor, usual_size: tf.Tensor, largest_growth: float, rate: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The size of a step's direction, at most a multiple of the usual.

    Where few minibatches have gradients much larger than all others, the direction is
    small but for those, and the gain so large that one of them could undo a training.
    Adafactor (arXiv 1804.04235) bounds updates by a constant; here by their past.

    Args:
        size: Scalar, root mean square of the direction.
        usual_size: Scalar, the moving average of bounded sizes; 0 before the first.
        largest_growth: Float of at least 1, the multiple.
        rate: Float in [0, 1] of the moving average.

    Returns:
        Tuple of scalars: the bounded size, and the moving average with it.

    Example:

    >>> size, usual_size = tf.constant(9.0), tf.constant(2.0)
    >>> size, usual_size = bounded_size(size, usual_size, 1.5, 0.1)
    >>> float(size), round(float(usual_size), 6)
    (3.0, 2.1)
    """
    usual_size = tf.where(usual_size > 0, usual_size, size)
    bounded = tf.minimum(size, largest_growth * usual_size)
    return bounded, mix(usual_size, bounded, rate)


@dataclasses.dataclass(eq=False)
class StepLength(Part):
    """How long a step of gain 1 is, from the first weights and the first step.

    Args:
        share: Float in [1e-9, 1e3], the root mean square of the first step as a share
            of that of the weights. Defaults to `0.02`.
        smallest_scale: Float in [1e-12, 1e6]: weights count as at least so large, for a
            network may begin at zero. Defaults to `1e-3`.
        largest_matrix: Float in [1, 1e6], the most that a matrix counts as, in units of
            LeCun's scale. Defaults to `10.0`.
        smallest_network: Float in [0, 1], the least that a network counts as, in the
            same units. Defaults to `0.1`.
        no_weights: Float in [0, 1]: matrices that are smaller yet, in the same units,
            are as good as zeros, and tell nothing. Defaults to `0.01`.
        widest: Float in [1, 1e12], the number of rows from which on a matrix is taken
            for a table, of which a sample takes but a few rows, as an embedding's.
            Defaults to `1e4`.
        longest_share: Float in [1e-6, 1e6], how much of the way to the minimum along it
            the first step may go. Defaults to `0.7`.
        shortening_power: Float in [0, 100]. Beyond the minimum gradients soon stop
            growing, so that the way that was too long looks shorter than it was; this
            makes up for it. With 0 the length is left. Defaults to `3.0`.
        largest_shortening: Float in [1e-6, 1]: no minibatch shortens steps to less than
            this factor. Defaults to `0.25`.
        largest_growth: Float in [1, 1e12], how much larger than usual the direction of
            a step may be. Defaults to `1.5`.
        size_rate: Float in [0, 1], rate of the average of sizes. Defaults to `0.1`, a
            memory of about 10 steps.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> length = StepLength()
    >>> length.build([], FuzzyHess().add_variable)
    >>> length.start([tf.constant([3.0, 3.0])])
    >>> round(float(length.along(size=tf.constant(1.0))), 4)
    0.06
    >>> length.shorten(tf.constant(1.0), tf.constant(-9.0))
    >>> round(float(length.along(size=tf.constant(1.0))), 4)
    0.015
    """

    share: float = 0.02
    smallest_scale: float = 1e-3
    largest_matrix: float = 10.0
    smallest_network: float = 0.1
    no_weights: float = 0.01
    widest: float = 1e4
    longest_share: float = 0.7
    shortening_power: float = 3.0
    largest_shortening: float = 0.25
    largest_growth: float = 1.5
    size_rate: float = 0.1

    def __post_init__(self) -> None:
        check_constants(
            self,
            share=(1e-9, 1e3),
            smallest_scale=(1e-12, 1e6),
            largest_matrix=(1, 1e6),
            smallest_network=(0, 1),
            no_weights=(0, 1),
            widest=(1, 1e12),
            longest_share=(1e-6, 1e6),
            shortening_power=(0, 100),
            largest_shortening=(1e-6, 1),
            largest_growth=(1, 1e12),
            size_rate=(0, 1),
        )

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
        self._length.assign(
            first_step_length(
                weights,
                self.share,
                self.smallest_scale,
                self.largest_matrix,
                self.smallest_network,
                self.no_weights,
                self.widest,
            )
        )

    def along(self, size: tf.Tensor) -> tf.Tensor:
        """By what to multiply the direction of this step, whose size is remembered.

        Args:
            size: Scalar, root mean square of the direction.

        Returns:
            Scalar.
        """
        bounded, usual_size = bounded_size(
            size, self._usual_size.value, self.largest_growth, self.size_rate
        )
        self._usual_size.assign(usual_size)
        return self.value * tf.math.divide_no_nan(bounded, size)

    def shorten(self, slope_before: tf.Tensor, slope_after: tf.Tensor) -> None:
        """Shortens all steps as the slopes on both ends of the first one ask for."""
        factor = shortening(
            slope_before,
            slope_after,
            self.longest_share,
            self.shortening_power,
            self.largest_shortening,
        )
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
