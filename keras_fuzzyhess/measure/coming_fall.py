"""How much the loss still falls, judged by how it has fallen of late.

While it has far to fall, swings that are a small share of that do not matter, however
wide they are beside the differences of minibatches; steps that are long enough do.
"""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.constants import check_constants
from keras_fuzzyhess.parts import Part
from keras_fuzzyhess.state.moving_average import mix

ROUNDING = 2e-7
"""Averages stop where what is added is rounded away: half a unit in the last place of
float32, 6e-8. After `n` losses `fast` may be wrong by `6e-8 n / window` of itself, and
`slow` by twice as much, both together by a little less than this."""


def averages_after(
    averages: tf.Tensor,
    loss: tf.Tensor,
    window: float,
    strongest: float,
    longest: float,
) -> tf.Tensor:
    """Takes one loss into two averages, the slow one over twice as many losses.

        loss <- clip(loss, slow - strongest usual, slow + strongest usual)
                                                             where usual is not 0 ,
        fast <- fast + rate(window) (loss - fast) ,
        slow <- slow + rate(window / 2) (loss - slow) ,
        usual <- usual + rate(window / 2) (|loss - slow| - usual) ,
        rate(k) = k / (k + n)    after n losses, at most `longest` of them

    With `rate(k)` an average spans about the last `n / k` losses, and of a loss that
    falls as `-ln(n)` it is behind by `1 / k`: Shamir and Zhang's averages that decay
    polynomially (2013).

    Args:
        averages: Vector of `n`, `fast`, `slow` and `usual`, all zero at the start.
        loss: Scalar.
        window: Positive float. This and both others as in `ComingFall`.
        strongest: Positive float.
        longest: Positive float.

    Returns:
        Vector with that loss in it.

    Example:

    >>> averages = tf.zeros(4)
    >>> for loss in (4.0, 1.0, 1.0):
    ...     loss = tf.constant(loss)
    ...     averages = averages_after(averages, loss, 2.0, strongest=10.0, longest=1e4)
    >>> averages.numpy().round(2).tolist()
    [3.0, 1.5, 2.0, 1.5]
    """
    count, fast, slow, usual = tf.unstack(averages)
    most = strongest * usual
    near = tf.clip_by_value(loss, slow - most, slow + most)
    loss = tf.where(usual > 0, near, loss)
    slow_rate = window / (window + 2 * count)
    # The first loss differs from nothing.
    difference = tf.where(count > 0, tf.abs(loss - slow), 0.0)
    return tf.stack(
        [
            tf.minimum(count + 1, longest),
            mix(fast, loss, window / (window + count)),
            mix(slow, loss, slow_rate),
            mix(usual, difference, slow_rate),
        ]
    )


def coming_fall(averages: tf.Tensor, loss: tf.Tensor, window: float) -> tf.Tensor:
    """By how much the loss falls until the steps are e times as many.

        clip(window (slow - fast), 0, |loss|) ,
        0 where slow - fast may be rounding

    It goes on as a logarithm does, and by no more than itself: where it falls by orders
    of magnitude, what it was says nothing of what it will be. So it matters where zero
    is: near it, a loss that goes on to negative values seems to have no way to go.

    Args:
        averages: Vector, as `averages_after` returns.
        loss: Scalar, what it is now.
        window: Positive float, as in `averages_after`.

    Returns:
        Scalar of at least 0.

    Example:

    >>> averages = tf.constant([100.0, 1.0, 1.0625, 0.1])
    >>> float(coming_fall(averages, tf.constant(1.0), window=8.0))
    0.5
    """
    count, fast, slow, _ = tf.unstack(averages)
    is_seen = slow - fast > ROUNDING * count / window * tf.abs(slow)
    fall = tf.clip_by_value(window * (slow - fast), 0.0, tf.abs(loss))
    return tf.where(is_seen, fall, 0.0)


@dataclasses.dataclass(eq=False)
class ComingFall(Part):
    """The share of the coming fall of the loss in which swings are measured.

    Args:
        share: Float in [0, 1e3]. Defaults to `0.25`: the default rules hold the gain
            where the loss at the weights is higher than at their average by 0.4 of
            that, a tenth of the fall to come.
        window: Float in [2, 1e9]: after `n` losses the fast average spans about the
            last `n / window`, the slow one twice as many. Defaults to `16.0`.
        strongest: Float in [1, 1e6]: no loss counts as farther from the average than
            so many usual differences, or one outlier would be remembered for thousands
            of steps. Defaults to `10.0`, so large that only outliers are concerned.
        longest: Float in [100, 1e6], the most that counts as `n`. Beyond, ever more of
            what a loss adds is rounded away. Defaults to `3e4`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> fall = ComingFall()
    >>> fall.build([], FuzzyHess().add_variable)
    >>> for n in range(1, 1000):
    ...     loss = 5 - 0.4 * tf.math.log(float(n))
    ...     fall.watch(loss)
    >>> round(float(fall.value(loss)), 3)  # a quarter of 0.4
    0.1
    """

    share: float = 0.25
    window: float = 16.0
    strongest: float = 10.0
    longest: float = 3e4

    def __post_init__(self) -> None:
        check_constants(
            self,
            share=(0, 1e3),
            window=(2, 1e9),
            strongest=(1, 1e6),
            longest=(100, 1e6),
        )

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages of losses."""
        # One variable, for a step to read and assign several takes longer.
        self._averages = add((4,), dtype="float32", name="losses")

    def watch(self, loss: tf.Tensor) -> None:
        """Takes the loss of a step into the averages."""
        before = tf.convert_to_tensor(self._averages)
        after = averages_after(
            before,
            tf.cast(loss, tf.float32),
            self.window,
            self.strongest,
            self.longest,
        )
        # From 3e38 to -3e38 there is no float32; averages would never be one again.
        is_finite = tf.reduce_all(tf.math.is_finite(after))
        self._averages.assign(tf.where(is_finite, after, before))

    def value(self, loss: tf.Tensor) -> tf.Tensor:
        """Scalar of at least 0, in units of the loss.

        Args:
            loss: Scalar, what the loss is now. An average of it would remember what
                one minibatch, or other data, had.
        """
        averages = tf.convert_to_tensor(self._averages)
        loss = tf.cast(loss, tf.float32)
        return self.share * coming_fall(averages, loss, self.window)
