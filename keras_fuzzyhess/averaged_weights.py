"""A moving average of the weights, and what the loss there tells of the step length.

Steps that are too long make the weights swing around a path on which the loss is
lower; their average lies nearer to it. Steps that are too short leave the average
behind, where the loss is higher. So the difference of the two losses, on the same
minibatch and hence without sampling noise, tells on which side the step length is.

Averages in place of the last weights: Polyak and Juditsky (1992); with weights that
grow polynomially, so that no horizon is needed: Shamir and Zhang (2013). That their
loss steers the step length is our own.
"""

from typing import NamedTuple

import tensorflow as tf

WINDOW = 20.0
"""After `t` steps the average spans about the last `t / 20`. Our choice."""

SLOWEST = 0.1
"""Least rate of the averages of losses: a memory of about 10 probes. Our choice."""


def averaging_rate(step: tf.Tensor, momentum: float) -> tf.Tensor:
    """By how much the averaged weights move towards the weights after a step.

        average <- average + rate (w - average) ,
        rate = max(1 / (1 + step / 20), 1 - momentum)

    The first step makes the average equal to the weights, so that there is no bias
    towards where it started.

    Args:
        step: Scalar integer, number of steps taken before.
        momentum: Float in [0, 1], the largest momentum: an average spans no more
            than about `1 / (1 - momentum)` steps.

    Returns:
        Scalar in (0, 1].

    Example:

    >>> float(averaging_rate(0, 0.999)), float(averaging_rate(60, 0.999))
    (1.0, 0.25)
    """
    rate = WINDOW / (WINDOW + tf.cast(step, tf.float32))
    return tf.maximum(rate, 1 - momentum)


class AveragedLoss(NamedTuple):
    """What is known of the loss at the weights and at their average.

    Attributes:
        count: Number of probes.
        excess: Average of `L(w) - L(average)`.
        scatter: Average absolute difference of `L(average)` between two probes, by
            the square root of two: how much minibatches differ.
        last: `L(average)` at the last probe.
    """

    count: tf.Tensor
    excess: tf.Tensor
    scatter: tf.Tensor
    last: tf.Tensor


def observe_averaged_loss(
    statistics: AveragedLoss, loss: tf.Tensor, averaged_loss: tf.Tensor
) -> AveragedLoss:
    """Takes the two losses of a probe into the averages.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar loss of the minibatch at the weights.
        averaged_loss: Scalar loss of the same minibatch at the averaged weights.

    Returns:
        `AveragedLoss`.

    Example:

    >>> zero = AveragedLoss(*(tf.constant(0.0),) * 4)
    >>> once = observe_averaged_loss(zero, 3.0, 2.0)
    >>> float(once.excess), float(once.scatter)
    (1.0, 0.0)
    """
    count = statistics.count
    # Early on the network changes quickly, so that the last three probes count most.
    rate = tf.maximum(SLOWEST, 3 / (count + 3))
    excess = loss - averaged_loss
    scatter = tf.abs(averaged_loss - statistics.last) * 0.5**0.5
    scatter_rate = tf.maximum(SLOWEST, tf.math.divide_no_nan(1.0, count))
    return AveragedLoss(
        count=count + 1,
        excess=statistics.excess + rate * (excess - statistics.excess),
        # The first probe has none before it to be compared with.
        scatter=tf.where(
            count > 0,
            statistics.scatter + scatter_rate * (scatter - statistics.scatter),
            0.0,
        ),
        last=tf.cast(averaged_loss, tf.float32),
    )


def averaged_loss_trend(statistics: AveragedLoss) -> tf.Tensor:
    """How the loss moves from the averaged weights to the weights.

        trend = clip(-excess / scatter, -1, 1)

    Returns:
        Scalar in [-1, 1]: positive when the weights are ahead of their average,
        negative when they swing around it; 0 before the second probe.

    Example:

    >>> swinging = AveragedLoss(9.0, excess=0.1, scatter=0.2, last=1.0)
    >>> round(float(averaged_loss_trend(swinging)), 3)
    -0.5
    """
    trend = tf.math.divide_no_nan(-statistics.excess, statistics.scatter)
    return tf.clip_by_value(trend, -1.0, 1.0)
