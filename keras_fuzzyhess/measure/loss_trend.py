"""How the minibatch losses move, in units of their own scatter."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_fuzzyhess.constants import check_constants
from keras_fuzzyhess.parts import Part, scalar
from keras_fuzzyhess.state.moving_average import mix


class LossStatistics(NamedTuple):
    """Moving averages of the loss.

    Attributes:
        count: Number of losses seen.
        fast: Average over few of the last.
        slow: Average over more of them.
        deviation: Average absolute deviation from the slow average.
    """

    count: tf.Tensor
    fast: tf.Tensor
    slow: tf.Tensor
    deviation: tf.Tensor


def observe_loss(
    statistics: LossStatistics, loss: tf.Tensor, fast: float, slow: float
) -> LossStatistics:
    """Takes one loss into the averages.

    The first losses are averaged plainly (rate `1 / count`), so that there is no bias
    towards the initial zero.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar minibatch loss.
        fast: Float in [0, 1], least rate of the fast average.
        slow: Float in [0, 1], least rate of the slow average and of the deviation.

    Returns:
        `LossStatistics`.

    Example:

    >>> zero = LossStatistics(*(tf.constant(0.0),) * 4)
    >>> after_two = observe_loss(observe_loss(zero, 3.0, 0.1, 0.02), 1.0, 0.1, 0.02)
    >>> float(after_two.fast), float(after_two.slow)
    (2.0, 2.0)
    """
    count = statistics.count + 1
    fast_rate, slow_rate = tf.maximum(fast, 1 / count), tf.maximum(slow, 1 / count)
    # From the average that has not seen this loss; the first loss has no deviation.
    deviation = tf.where(count > 1, tf.abs(loss - statistics.slow), 0.0)
    return LossStatistics(
        count=count,
        fast=mix(statistics.fast, loss, fast_rate),
        slow=mix(statistics.slow, loss, slow_rate),
        deviation=mix(statistics.deviation, deviation, slow_rate),
    )


def loss_trend(statistics: LossStatistics) -> tf.Tensor:
    """How the loss moves, in units of its own scatter.

        trend = clip((slow - fast) / deviation, -1, 1)

    Returns:
        Scalar in [-1, 1], positive when the loss falls, 0 when it is constant.

    Example:

    >>> falling = LossStatistics(60.0, fast=1.0, slow=2.0, deviation=2.0)
    >>> float(loss_trend(falling))
    0.5
    """
    trend = tf.math.divide_no_nan(
        statistics.slow - statistics.fast, statistics.deviation
    )
    return tf.clip_by_value(trend, -1.0, 1.0)


@dataclasses.dataclass(eq=False)
class LossTrend(Part):
    """SALO's signal: the losses of the steps, without a probe.

    Args:
        fast: Float in [0, 1], rate of the average that follows the loss. Defaults to
            `0.1`, about the last 10 steps.
        slow: Float in [0, 1], rate of the average with which it is compared. Defaults
            to `0.02`, about the last 50.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice; arXiv 2403.15416 does not publish it.

    Example:

    >>> from keras_fuzzyhess import SALO
    >>> trend = LossTrend()
    >>> trend.build([], SALO().add_variable)
    >>> for loss in range(30, 0, -1):
    ...     trend.observe(tf.constant(float(loss)))
    >>> float(trend.value) > 0
    True
    """

    fast: float = 0.1
    slow: float = 0.02

    def __post_init__(self) -> None:
        check_constants(self, fast=(0, 1), slow=(0, 1))

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages of the loss."""
        self._statistics = [
            scalar(add, f"loss_{field}") for field in LossStatistics._fields
        ]

    def observe(self, loss: tf.Tensor) -> None:
        """Takes the loss of a step into the averages."""
        loss = tf.cast(loss, tf.float32)
        new = observe_loss(self._read(), loss, self.fast, self.slow)
        for variable, value in zip(self._statistics, new, strict=True):
            variable.assign(value)

    @property
    def value(self) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the loss falls."""
        return loss_trend(self._read())

    def _read(self) -> LossStatistics:
        return LossStatistics(*(v.value for v in self._statistics))
