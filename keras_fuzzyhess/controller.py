"""What the fuzzy system is told and what is done with its answer.

Pure functions of signals and state. Inputs of the rule base are the trend of the
loss and the progress of the training, as in arXiv 2403.15416; how both are computed
is our choice, for the paper does not publish it.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_fuzzyhess.moving_average import mix

FAST, SLOW = 0.1, 0.02
"""Rates of the two moving averages of the loss: windows of about 10 and 50 steps."""

GAIN_RANGE = (1e-3, 1e3)
"""Bounds of the gain. Wide, for the first step length is no more than a guess. Our
choice."""

SLOWING = 100.0
"""Number of steps after which rates of the gain count half."""

HALF_WAY = 1000.0
"""Without `total_steps`, the number of steps after which progress is one half."""


class LossStatistics(NamedTuple):
    """Moving averages of the loss.

    Attributes:
        count: Number of losses seen.
        fast: Average over about the last 10.
        slow: Average over about the last 50.
        deviation: Average absolute deviation from the slow average.
    """

    count: tf.Tensor
    fast: tf.Tensor
    slow: tf.Tensor
    deviation: tf.Tensor


def observe_loss(statistics: LossStatistics, loss: tf.Tensor) -> LossStatistics:
    """Takes one loss into the averages.

    The first losses are averaged plainly (rate `1 / count`), so that there is no bias
    towards the initial zero.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar minibatch loss.

    Returns:
        `LossStatistics`.

    Example:

    >>> zero = LossStatistics(*(tf.constant(0.0),) * 4)
    >>> after_two = observe_loss(observe_loss(zero, 3.0), 1.0)
    >>> float(after_two.fast), float(after_two.slow)
    (2.0, 2.0)
    """
    count = statistics.count + 1
    fast, slow = tf.maximum(FAST, 1 / count), tf.maximum(SLOW, 1 / count)
    # From the average that has not seen this loss; the first loss has no deviation.
    deviation = tf.where(count > 1, tf.abs(loss - statistics.slow), 0.0)
    return LossStatistics(
        count=count,
        fast=mix(statistics.fast, loss, fast),
        slow=mix(statistics.slow, loss, slow),
        deviation=mix(statistics.deviation, deviation, slow),
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


def training_progress(step: tf.Tensor, total_steps: tf.Tensor | int) -> tf.Tensor:
    """How far the training has come.

    Args:
        step: Scalar integer, number of steps taken.
        total_steps: Scalar integer, number of steps planned; 0 where there is no plan.
            A tensor, so that a plan may change in a graph that is traced already.

    Returns:
        Scalar in [0, 1]: `step / total_steps`, or without a plan
        `step / (step + 1000)`, which rises from 0 and never reaches 1.

    Example:

    >>> float(training_progress(tf.constant(1000), 0))
    0.5
    >>> float(training_progress(tf.constant(30), total_steps=40))
    0.75
    """
    step, total = tf.cast(step, tf.float32), tf.cast(total_steps, tf.float32)
    planned = tf.minimum(tf.math.divide_no_nan(step, total), 1.0)
    return tf.where(total > 0, planned, step / (step + HALF_WAY))


def controlled_gain(
    gain: tf.Tensor, output: dict[str, tf.Tensor], step: tf.Tensor
) -> tf.Tensor:
    """The gain after the fuzzy system has spoken.

    Rate law, for a rule base with the output `gain_rate` (our choice): the output is
    the relative change per step at the start of the training, which slows down as the
    training goes on,

        c <- clip(c exp(gain_rate / (1 + step / 100)), 0.001, 1000) ,

    so that the gain can travel as far from step 1,000 to 2,000 as from 10,000 to
    20,000.
    Direct law, for one with the output `gain` (arXiv 2403.15416): the output is the
    factor of the learning rate itself.

    Args:
        gain: Scalar, the gain `c` of the step before.
        output: Outputs of the control surface by name.
        step: Scalar integer, number of steps taken before.

    Returns:
        Scalar.

    Example:

    >>> rate, direct = {"gain_rate": tf.constant(0.5)}, {"gain": tf.constant(0.25)}
    >>> float(controlled_gain(tf.constant(999.0), rate, step=0))
    1000.0
    >>> float(controlled_gain(tf.constant(9.9), direct, step=0))
    0.25
    """
    if "gain" in output:
        return output["gain"]
    rate = output["gain_rate"] / (1 + tf.cast(step, tf.float32) / SLOWING)
    return tf.clip_by_value(gain * tf.exp(rate), *GAIN_RANGE)
