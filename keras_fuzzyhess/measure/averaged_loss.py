"""What the loss at the averaged weights tells of the step length.

Steps that are too long make the weights swing around a path on which the loss is
lower; their average lies nearer to it. Steps that are too short leave the average
behind, where the loss is higher. So the difference of the two losses, on the same
minibatch and hence with little sampling noise, tells on which side the step length is.

Its unit is the scatter: the geometric mean of how much minibatches differ in their
loss, and of how much they differ in the difference. The first alone would hide swings
where outliers or wrong labels make losses differ much; the second alone would stop the
gain early on, when the difference is small and hardly differs. Where the loss falls by
orders of magnitude, at most three times the scatter of the last few probes counts:
beside the losses of before, no swing would be seen. And where the loss still has far to
fall (`coming_fall.py`), a share of that is the unit instead of the scatter, if larger.

Weights that are ahead promise that the loss at the average falls too, as the average
follows them. Where it does not, something else moves the loss: another network that
plays against this one, or targets that move. Then longer steps do not get there sooner.

That the loss at the average steers the step length, the scatter and the promise are our
own.
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
        excess: Average of `(L(w) - L(average)) / (unit gain)`: how much higher the
            loss is at the weights, for a gain of one; the unit is the scatter, or what
            was given as the least one. What is remembered never counts for more than
            one unit at the present gain.
        root_scatter: Average square root of how much two minibatches differ,
            `share sqrt(|change of L(average)| |change of L(w) - L(average)|)` between
            two probes. Its square is the scatter. Few minibatches that differ much from
            all others hardly enter it, as they would enter a mean difference.
        recent_root_scatter: The same over the last few probes.
        last: `L(average)` at the last probe.
        last_difference: `L(w) - L(average)` at the last probe.
        lead: Average of `L(average) - L(w)`: how far the weights are ahead.
        fall: Average fall of `L(average)` from probe to probe.
        root_change: Average square root of the absolute value of these falls. Its
            square is how much the loss usually changes.
    """

    count: tf.Tensor
    excess: tf.Tensor
    root_scatter: tf.Tensor
    recent_root_scatter: tf.Tensor
    last: tf.Tensor
    last_difference: tf.Tensor
    lead: tf.Tensor
    fall: tf.Tensor
    root_change: tf.Tensor


def observe_averaged_loss(
    statistics: AveragedLoss,
    loss: tf.Tensor,
    averaged_loss: tf.Tensor,
    gain: tf.Tensor,
    least_unit: tf.Tensor | float,
    slowest: float,
    recent: float,
    most_of_recent: float,
    difference_share: float,
    strongest: float,
    early: float,
    slowest_fall: float,
) -> AveragedLoss:
    """Takes the two losses of a probe into the averages.

    Args:
        statistics: The averages so far, all zero at the start.
        loss: Scalar loss of the minibatch at the weights.
        averaged_loss: Scalar loss of the same minibatch at the averaged weights.
        gain: Scalar, the gain with which the weights have come here.
        least_unit: Scalar of at least 0: the difference is measured in units of at
            least so much.
        slowest: Float in [0, 1]. This and all others as in `AveragedLossTrend`.
        recent: Float in [0, 1].
        most_of_recent: Float of at least 1.
        difference_share: Positive float.
        strongest: Float of at least 0.
        early: Float of at least 1.
        slowest_fall: Float in [0, 1], least rate of the averages that tell whether the
            loss falls.

    Returns:
        `AveragedLoss`.

    Example:

    >>> statistics = AveragedLoss(*(tf.constant(0.0),) * 9)
    >>> for losses in [(3.0, 2.0), (5.0, 1.0)]:
    ...     statistics = observe_averaged_loss(
    ...         statistics, *losses, 1.0, 0.0, 0.1, 0.5, 3.0, 0.75, 2.0, 3.0, 0.1
    ...     )
    >>> round(float(statistics.root_scatter) ** 2, 4)  # of changes of 1 and 3
    1.299
    """
    count = statistics.count
    loss, averaged_loss = tf.cast(loss, tf.float32), tf.cast(averaged_loss, tf.float32)
    difference = loss - averaged_loss
    fall = statistics.last - averaged_loss
    changes = tf.abs(fall), tf.abs(difference - statistics.last_difference)
    # A root of each: the product of two small ones is not a number of float32.
    geometric_mean = tf.sqrt(changes[0]) * tf.sqrt(changes[1])

    def between_probes(average: tf.Tensor, new: tf.Tensor, rate: tf.Tensor):
        # The first probe has none before it to be compared with.
        return tf.where(count > 0, mix(average, new, rate), 0.0)

    root = tf.sqrt(difference_share * geometric_mean)
    root_scatter = between_probes(
        statistics.root_scatter, root, memory_rate(count, slowest)
    )
    recent_root_scatter = between_probes(
        statistics.recent_root_scatter, root, memory_rate(count, recent)
    )
    rate = memory_rate(count, slowest_fall)
    lead = between_probes(statistics.lead, -difference, rate)
    # Where the data change the loss jumps once, which is no sign of what comes, and
    # would hide that for as long as it is remembered.
    most = strongest * (statistics.root_change + tf.sqrt(tf.abs(lead)))
    root_change = between_probes(
        statistics.root_change, tf.minimum(tf.sqrt(changes[0]), most), rate
    )
    most = strongest * (root_change**2 + tf.abs(lead))
    fall = tf.clip_by_value(fall, -most, most)
    scatter = tf.minimum(root_scatter**2, most_of_recent * recent_root_scatter**2)
    # Minibatches that do not differ leave rounding, which is no difference either.
    unit = tf.maximum(scatter, ROUNDING * tf.abs(averaged_loss))
    unit = tf.maximum(unit, least_unit)
    excess = tf.where(count > 0, tf.math.divide_no_nan(difference, unit), 0.0)
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
        recent_root_scatter=recent_root_scatter,
        last=averaged_loss,
        last_difference=difference,
        lead=lead,
        fall=between_probes(statistics.fall, fall, rate),
        root_change=root_change,
    )


def memory_rate(comparisons: tf.Tensor, slowest: float) -> tf.Tensor:
    """The rate of an average of so many numbers: their mean, until they are enough.

    Args:
        comparisons: Scalar, how many pairs of neighbouring probes there are.
        slowest: Float in [0, 1], the least rate.

    Returns:
        Scalar.

    Example:

    >>> [round(float(memory_rate(tf.constant(n), 0.1)), 2) for n in (2.0, 50.0)]
    [0.5, 0.1]
    """
    return tf.maximum(slowest, tf.math.divide_no_nan(1.0, comparisons))


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

    >>> unknown = AveragedLoss(*(tf.constant(0.0),) * 9)
    >>> swinging = unknown._replace(excess=tf.constant(0.5))
    >>> [float(averaged_loss_trend(swinging, gain)) for gain in (1.0, 0.5)]
    [-0.5, -0.25]
    """
    return tf.clip_by_value(-gain * statistics.excess, -1.0, 1.0)


def averaged_loss_fall(
    statistics: AveragedLoss, promised: float, slowest_fall: float, doubt: float
) -> tf.Tensor:
    """How much of the fall that the lead promises is seen.

        loss_fall = clip((fall + doubt rate change) / (promised lead), -1, 1)

    with the rate of these averages. Minibatches differ, so that an average fall has an
    error of about `rate change`. Some of it is added, so that noise alone does not look
    like a stall.

    Args:
        statistics: What is known.
        promised: Positive float, how much of the lead is to be seen from one probe to
            the next.
        slowest_fall: Float in [0, 1], least rate of the averages in it.
        doubt: Float of at least 0, as in `AveragedLossTrend`.

    Returns:
        Scalar in [-1, 1]: 1 when the loss at the average falls as it should, 0 when it
        stays, negative when it rises. 1 as well before the third probe and when the
        weights are not ahead, for then nothing is promised.

    Example:

    >>> unknown = AveragedLoss(*(tf.constant(0.0),) * 9)
    >>> ahead = unknown._replace(count=tf.constant(9.0), lead=tf.constant(1.0))
    >>> falls = (ahead._replace(fall=tf.constant(fall)) for fall in (0.75, 0.1, -0.1))
    >>> [round(float(averaged_loss_fall(x, 0.5, 0.1, 1.5)), 1) for x in falls]
    [1.0, 0.2, -0.2]
    """
    rate = memory_rate(statistics.count - 1, slowest_fall)
    seen = statistics.fall + doubt * rate * statistics.root_change**2
    share = tf.math.divide_no_nan(seen, promised * statistics.lead)
    is_promised = (statistics.count > 2) & (statistics.lead > 0)
    return tf.where(is_promised, tf.clip_by_value(share, -1.0, 1.0), 1.0)


def promised_fall(interval: float, thinning: float, window: float) -> float:
    """The share of the weights' lead by which a steady loss falls between loss probes.

    After `t` steps the average is about `t / window` steps behind. A loss that falls
    steadily is lower at the weights by what it falls in that time. Two loss probes are
    `interval (1 + t / thinning)` steps apart. So between them it falls by at least
    `interval window / thinning` of the lead.

    Args:
        interval: Steps between two loss probes at first, as in `ProbeSchedule`.
        thinning: Steps after which they are half as frequent, likewise.
        window: As in `Averaging`.

    Returns:
        Positive float.

    Example:

    >>> promised_fall(interval=10, thinning=400.0, window=20.0)
    0.5
    """
    return interval * window / thinning


@dataclasses.dataclass(eq=False)
class AveragedLossTrend(Part):
    """FuzzyHess's signals: is the loss lower at the average, and does it fall there.

    Args:
        promised: Positive float, see `promised_fall`.
        slowest: Float in [0, 1], least rate of the averages of losses. Defaults to
            `0.1`, a memory of about 10 probes.
        recent: Float in [0, 1], least rate of the average of the scatter over the last
            few probes. Defaults to `0.5`.
        most_of_recent: Float in [1, 1e6]: the scatter is at most so many times that of
            the last few probes. Defaults to `3.0`: where the loss does not fall by
            orders of magnitude, that hardly ever decides.
        difference_share: Float in [1e-6, 1e6], the share of the difference of two
            minibatches that counts as the scatter of one. By the square root of two for
            independent ones; a little more, for a mean of roots is less than the root
            of a mean. Defaults to `0.75`.
        strongest: Float in [0, 1e6]: no probe counts for more than an excess of so many
            units, and no change of the loss at the average for more than so many
            times what it usually is, the lead added. Defaults to `2.0`.
        early: Float in [1, 1e6], how many of the last probes count most early on, when
            the network changes quickly. Defaults to `3.0`.
        doubt: Float in [0, 1e6], how many errors of an average fall are added to it
            before it is compared with what is promised. Defaults to `1.5`.
        most_promised: Float in [1e-6, 1e6], the share of the lead that is asked for at
            most from one probe to the next: a loss that slows down falls by less than a
            steady one. Where less is promised, the averages that tell whether the loss
            falls are slower in proportion, for it takes more probes to see it among
            minibatches that differ. Defaults to `0.5`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> trend = AveragedLossTrend(promised=0.5)
    >>> trend.build([], FuzzyHess().add_variable)
    >>> for loss, averaged_loss in [(3.0, 2.0), (3.0, 1.0)]:
    ...     statistics = trend.observed(
    ...         loss, averaged_loss, gain=tf.constant(1.0), least_unit=0.0
    ...     )
    ...     trend.keep(statistics, tf.constant(True))
    >>> float(trend.value(tf.constant(1.0))) < 0
    True
    """

    promised: float
    slowest: float = 0.1
    recent: float = 0.5
    most_of_recent: float = 3.0
    difference_share: float = 0.75
    strongest: float = 2.0
    early: float = 3.0
    doubt: float = 1.5
    most_promised: float = 0.5

    def __post_init__(self) -> None:
        check_constants(
            self,
            slowest=(0, 1),
            recent=(0, 1),
            most_of_recent=(1, 1e6),
            difference_share=(1e-6, 1e6),
            strongest=(0, 1e6),
            early=(1, 1e6),
            doubt=(0, 1e6),
            most_promised=(1e-6, 1e6),
        )
        self._asked = min(self.promised, self.most_promised)
        self._slowest_fall = self.slowest * self._asked / self.most_promised

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages of losses."""
        self._statistics = [
            scalar(add, f"averaged_loss_{field}") for field in AveragedLoss._fields
        ]
        self._fall = scalar(add, "loss_fall", 1.0)

    def observed(
        self,
        loss: tf.Tensor,
        averaged_loss: tf.Tensor,
        gain: tf.Tensor,
        least_unit: tf.Tensor | float,
    ) -> AveragedLoss:
        """The averages with the two losses of a probe, `observe_averaged_loss`."""
        return observe_averaged_loss(
            self._read(),
            loss,
            averaged_loss,
            gain,
            least_unit,
            self.slowest,
            self.recent,
            self.most_of_recent,
            self.difference_share,
            self.strongest,
            self.early,
            self._slowest_fall,
        )

    def keep(self, statistics: AveragedLoss, tells: tf.Tensor) -> None:
        """Keeps these averages, if they tell anything."""
        # Of what changes with probes alone, a step reads what was made of it then.
        fall = averaged_loss_fall(
            statistics, self._asked, self._slowest_fall, self.doubt
        )
        for variable, new in zip(
            [*self._statistics, self._fall], [*statistics, fall], strict=True
        ):
            variable.assign(tf.where(tells, new, variable.value))

    @property
    def count(self) -> tf.Tensor:
        """Scalar, the number of probes."""
        return self._statistics[0].value

    def value(self, gain: tf.Tensor) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the weights are ahead of their average."""
        return averaged_loss_trend(self._read(), gain)

    def fall(self) -> tf.Tensor:
        """Scalar in [-1, 1], 1 when the loss at the average falls as it should."""
        return self._fall.value

    def _read(self) -> AveragedLoss:
        return AveragedLoss(*(v.value for v in self._statistics))
