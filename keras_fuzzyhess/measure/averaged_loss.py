"""What the loss at the averaged weights tells of the step length.

Steps that are too long make the weights swing around a path on which the loss is
lower; their average lies nearer to it. Steps that are too short leave the average
behind, where the loss is higher. So the difference of the two losses, on the same
minibatch and hence with little sampling noise, tells on which side the step length is.

It is measured in scatters: the geometric mean of how much minibatches differ in their
loss, and of how much they differ in the difference. The first alone would hide swings
where outliers or wrong labels make losses differ much; the second alone would stop the
gain early on, when the difference is small and hardly differs. That it steers the step
length, and the scatter, are our own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_fuzzyhess.constants import check_constants
from keras_fuzzyhess.parts import Part, scalar
from keras_fuzzyhess.state.moving_average import mix

ROUNDING = 1e-6
"""Share of a loss below which a difference may be rounding, about 8 units in the last
place of float32. No choice, so no constant of the part."""


class AveragedLoss(NamedTuple):
    """What is known of the loss at the weights and at their average.

    Attributes:
        count: Number of probes.
        excess: Average of `(L(w) - L(average)) / (scatter gain)`: how much higher the
            loss is at the weights, in scatters, for a gain of one. What is remembered
            never counts for more than one scatter at the present gain.
        root_scatter: Average square root of how much two minibatches differ,
            `share sqrt(|change of L(average)| |change of L(w) - L(average)|)` between
            two probes. Its square is the scatter. Few minibatches that differ much from
            all others hardly enter it, as they would enter a mean difference.
        last: `L(average)` at the last probe.
        last_difference: `L(w) - L(average)` at the last probe.
    """

    count: tf.Tensor
    excess: tf.Tensor
    root_scatter: tf.Tensor
    last: tf.Tensor
    last_difference: tf.Tensor


def observe_averaged_loss(
    statistics: AveragedLoss,
    loss: tf.Tensor,
    averaged_loss: tf.Tensor,
    gain: tf.Tensor,
    slowest: float,
    difference_share: float,
    strongest: float,
    early: float,
) -> AveragedLoss:
    """Takes the two losses of a probe into the averages.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar loss of the minibatch at the weights.
        averaged_loss: Scalar loss of the same minibatch at the averaged weights.
        gain: Scalar, the gain with which the weights have come here.
        slowest: Float in [0, 1]. This and all others as in `AveragedLossTrend`.
        difference_share: Positive float.
        strongest: Float of at least 0.
        early: Float of at least 1.

    Returns:
        `AveragedLoss`.

    Example:

    >>> statistics = AveragedLoss(*(tf.constant(0.0),) * 5)
    >>> for losses in [(3.0, 2.0), (5.0, 1.0)]:
    ...     statistics = observe_averaged_loss(
    ...         statistics, *losses, 1.0, 0.1, 0.75, 2.0, 3.0
    ...     )
    >>> round(float(statistics.root_scatter) ** 2, 4)  # of changes of 1 and 3
    1.299
    """
    count = statistics.count
    loss, averaged_loss = tf.cast(loss, tf.float32), tf.cast(averaged_loss, tf.float32)
    difference = loss - averaged_loss
    changes = (averaged_loss - statistics.last, difference - statistics.last_difference)
    # A root of each: the product of two small ones is not a number of float32.
    geometric_mean = tf.sqrt(tf.abs(changes[0])) * tf.sqrt(tf.abs(changes[1]))
    root_scatter = tf.where(
        count > 0,
        mix(
            statistics.root_scatter,
            tf.sqrt(difference_share * geometric_mean),
            tf.maximum(slowest, tf.math.divide_no_nan(1.0, count)),
        ),
        0.0,  # The first probe has none before it to be compared with.
    )
    # Minibatches that do not differ leave rounding, which is no difference either.
    scatter = tf.maximum(root_scatter**2, ROUNDING * tf.abs(averaged_loss))
    excess = tf.where(count > 0, tf.math.divide_no_nan(difference, scatter), 0.0)
    # What a small gain has measured would else be more than the trend can show, and
    # hide what a larger one measures for as long as it is remembered.
    remembered = tf.clip_by_value(statistics.excess, -1 / gain, 1 / gain)
    return AveragedLoss(
        count=count + 1,
        excess=mix(
            remembered,
            tf.clip_by_value(excess, -strongest, strongest) / gain,
            tf.maximum(slowest, early / (count + early)),
        ),
        root_scatter=root_scatter,
        last=averaged_loss,
        last_difference=difference,
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

    >>> swinging = AveragedLoss(9.0, 0.5, root_scatter=0.2, last=1, last_difference=1)
    >>> [float(averaged_loss_trend(swinging, gain)) for gain in (1.0, 0.5)]
    [-0.5, -0.25]
    """
    return tf.clip_by_value(-gain * statistics.excess, -1.0, 1.0)


@dataclasses.dataclass(eq=False)
class AveragedLossTrend(Part):
    """FuzzyHess's signal: whether the loss is lower at the average of the weights.

    Args:
        slowest: Float in [0, 1], least rate of the averages of losses. Defaults to
            `0.1`, a memory of about 10 probes.
        difference_share: Float in [1e-6, 1e6], the share of the difference of two
            minibatches that counts as the scatter of one. By the square root of two for
            independent ones; a little more, for a mean of roots is less than the root
            of a mean. Defaults to `0.75`.
        strongest: Float in [0, 1e6]: no probe counts for more than an excess of so many
            scatters. Defaults to `2.0`.
        early: Float in [1, 1e6], how many of the last probes count most early on, when
            the network changes quickly. Defaults to `3.0`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> trend = AveragedLossTrend()
    >>> trend.build([], FuzzyHess().add_variable)
    >>> for loss, averaged_loss in [(3.0, 2.0), (3.0, 1.0)]:
    ...     statistics = trend.observed(loss, averaged_loss, tf.constant(1.0))
    ...     trend.keep(statistics, tf.constant(True))
    >>> float(trend.value(tf.constant(1.0))) < 0
    True
    """

    slowest: float = 0.1
    difference_share: float = 0.75
    strongest: float = 2.0
    early: float = 3.0

    def __post_init__(self) -> None:
        check_constants(
            self,
            slowest=(0, 1),
            difference_share=(1e-6, 1e6),
            strongest=(0, 1e6),
            early=(1, 1e6),
        )

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages of losses."""
        self._statistics = [
            scalar(add, f"averaged_loss_{field}") for field in AveragedLoss._fields
        ]

    def observed(
        self, loss: tf.Tensor, averaged_loss: tf.Tensor, gain: tf.Tensor
    ) -> AveragedLoss:
        """The averages with the two losses of a probe."""
        return observe_averaged_loss(
            self._read(),
            loss,
            averaged_loss,
            gain,
            self.slowest,
            self.difference_share,
            self.strongest,
            self.early,
        )

    def keep(self, statistics: AveragedLoss, tells: tf.Tensor) -> None:
        """Keeps these averages, if they tell anything."""
        for variable, new, old in zip(
            self._statistics, statistics, self._read(), strict=True
        ):
            variable.assign(tf.where(tells, new, old))

    @property
    def count(self) -> tf.Tensor:
        """Scalar, the number of probes."""
        return self._statistics[0].value

    def value(self, gain: tf.Tensor) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the weights are ahead of their average."""
        return averaged_loss_trend(self._read(), gain)

    def _read(self) -> AveragedLoss:
        return AveragedLoss(*(v.value for v in self._statistics))
