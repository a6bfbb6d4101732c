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

from keras_fuzzyhess.moving_average import mix

WINDOW = 20.0
"""After `t` steps the average spans about the last `t / 20`. Our choice."""

SLOWEST = 0.1
"""Least rate of the averages of losses: a memory of about 10 probes. Our choice."""

DIFFERENCE_SHARE = 0.75
"""Share of the difference of two minibatches that counts as the scatter of one. By the
square root of two for independent ones; a little more, for a mean of roots is less than
the root of a mean. Our choice."""

STRONGEST = 2.0
"""No probe counts for more than an excess of so many scatters. Our choice."""


def averaging_rate(step: tf.Tensor, momentum: float) -> tf.Tensor:
    """By how much the averaged weights move towards the weights after a step.

        average <- average + rate (w - average) ,
        rate = max(1 / (1 + (step - 1) / 20), 1 - momentum) ,    0 where step = 0

    The first step leaves the average where it came from, for the next one looks back
    there. The second makes it equal to the weights, so that no bias towards the start
    remains.

    Args:
        step: Scalar integer, number of steps taken before.
        momentum: Float in [0, 1), the largest momentum: an average spans no more
            than about `1 / (1 - momentum)` steps.

    Returns:
        Scalar in [0, 1].

    Example:

    >>> [float(averaging_rate(step, 0.999)) for step in (0, 1, 61)]
    [0.0, 1.0, 0.25]
    """
    later = tf.cast(step, tf.float32) - 1
    rate = tf.maximum(WINDOW / (WINDOW + later), 1 - momentum)
    return tf.where(later < 0, 0.0, rate)


class AveragedLoss(NamedTuple):
    """What is known of the loss at the weights and at their average.

    Attributes:
        count: Number of probes.
        excess: Average of `(L(w) - L(average)) / (scatter gain)`: how much higher the
            loss is at the weights, in scatters, for a gain of one.
        root_scatter: Average square root of 0.75 times the absolute difference of
            `L(average)` between two probes. Its square, the scatter, says how much
            minibatches differ; few that differ much from all others hardly enter it,
            as they would enter a mean difference.
        last: `L(average)` at the last probe.
    """

    count: tf.Tensor
    excess: tf.Tensor
    root_scatter: tf.Tensor
    last: tf.Tensor


def observe_averaged_loss(
    statistics: AveragedLoss,
    loss: tf.Tensor,
    averaged_loss: tf.Tensor,
    gain: tf.Tensor,
) -> AveragedLoss:
    """Takes the two losses of a probe into the averages.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar loss of the minibatch at the weights.
        averaged_loss: Scalar loss of the same minibatch at the averaged weights.
        gain: Scalar, the gain with which the weights have come here.

    Returns:
        `AveragedLoss`.

    Example:

    >>> statistics = AveragedLoss(*(tf.constant(0.0),) * 4)
    >>> for loss, averaged_loss in [(3.0, 2.0), (3.0, 1.0)]:
    ...     statistics = observe_averaged_loss(statistics, loss, averaged_loss, 1.0)
    >>> round(float(statistics.root_scatter) ** 2, 4)
    0.75
    """
    count = statistics.count
    root_scatter = tf.where(
        count > 0,
        mix(
            statistics.root_scatter,
            tf.sqrt(DIFFERENCE_SHARE * tf.abs(averaged_loss - statistics.last)),
            tf.maximum(SLOWEST, tf.math.divide_no_nan(1.0, count)),
        ),
        0.0,  # The first probe has none before it to be compared with.
    )
    excess = tf.math.divide_no_nan(loss - averaged_loss, root_scatter**2)
    return AveragedLoss(
        count=count + 1,
        excess=mix(
            statistics.excess,
            tf.clip_by_value(excess, -STRONGEST, STRONGEST) / gain,
            # Early on the network changes quickly: the last three probes count most.
            tf.maximum(SLOWEST, 3 / (count + 3)),
        ),
        root_scatter=root_scatter,
        last=tf.cast(averaged_loss, tf.float32),
    )


def averaged_loss_trend(statistics: AveragedLoss, gain: tf.Tensor) -> tf.Tensor:
    """How the loss moves from the averaged weights to the weights.

        trend = clip(-gain excess, -1, 1)

    Weights swing the wider the longer the steps are. So what past probes have measured
    is taken as it would be with the present gain, and the rules stop to change the gain
    when it is right, not when the probes of another gain have been forgotten.

    Args:
        statistics: What is known.
        gain: Scalar, the present gain.

    Returns:
        Scalar in [-1, 1]: positive when the weights are ahead of their average,
        negative when they swing around it; 0 before the second probe.

    Example:

    >>> swinging = AveragedLoss(9.0, excess=0.5, root_scatter=0.2, last=1.0)
    >>> [float(averaged_loss_trend(swinging, gain)) for gain in (1.0, 0.5)]
    [-0.5, -0.25]
    """
    return tf.clip_by_value(-gain * statistics.excess, -1.0, 1.0)
