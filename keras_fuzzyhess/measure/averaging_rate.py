"""The moving average of the weights: how fast it moves, and when it tells anything.

Averages in place of the last weights: Polyak and Juditsky (1992); with weights that
grow polynomially, so that no horizon is needed: Shamir and Zhang (2013).
"""

import dataclasses

import tensorflow as tf

from keras_fuzzyhess.arguments import check_integer
from keras_fuzzyhess.constants import check_constants


@dataclasses.dataclass(eq=False)
class Averaging:
    """How the weights are averaged, and when the gain is held.

    Args:
        window: Float in [1, 1e9]: after `t` steps the average spans about the last
            `t / window`. Defaults to `20.0`.
        latest: Integer of at least 1, the number of steps after which the gain is held
            if no loss probe has been taken. Defaults to `20`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> Averaging(window=30).window
    30.0
    """

    window: float = 20.0
    latest: int = 20

    def __post_init__(self) -> None:
        check_constants(self, window=(1, 1e9))
        self.latest = check_integer("latest", self.latest, 1)


def averaging_rate(
    step: tf.Tensor, start: tf.Tensor | int, momentum: float, window: float
) -> tf.Tensor:
    """By how much the averaged weights move towards the weights after a step.

        average <- average + rate (w - average) ,
        rate = max(1 / (1 + (step - 1) / window), 1 / (1 + step - start), 1 - momentum)
        0 where step = 0

    The first step leaves the average where it came from, for the next one looks back
    there. The second makes it equal to the weights, so that no bias towards the start
    remains. Where the average starts anew the first step does so, and the average is
    the plain mean of all weights since, until these are enough.

    Args:
        step: Scalar integer, number of steps taken before.
        start: Scalar integer, what `step` was when the average last started anew, or 0.
        momentum: Float in [0, 1), the largest momentum: an average spans no more
            than about `1 / (1 - momentum)` steps.
        window: Float of at least 1: after `t` steps it spans about the last
            `t / window`.

    Returns:
        Scalar in [0, 1].

    Example:

    >>> [float(averaging_rate(step, 0, 0.999, 20.0)) for step in (0, 1, 61)]
    [0.0, 1.0, 0.25]
    >>> [float(averaging_rate(step, 61, 0.999, 20.0)) for step in (61, 62, 121)]
    [1.0, 0.5, 0.1428571492433548]
    """
    later = tf.cast(step, tf.float32) - 1
    since = tf.cast(_difference(step, start), tf.float32)
    rate = tf.maximum(window / (window + later), 1 - momentum)
    return tf.where(later < 0, 0.0, tf.maximum(rate, 1 / (1 + since)))


def has_average(step: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    """Whether the average is one of weights since it started.

    After a single step it is where that came from, which would undo it; where it is to
    start anew it is what it was before, which would undo what has been set since.

    Args:
        step: Scalar integer, number of steps taken.
        start: Scalar integer, what `step` was when the average last started anew, or 0.

    Returns:
        Scalar boolean.

    Example:

    >>> [bool(has_average(step, 0)) for step in (1, 2)]
    [False, True]
    >>> [bool(has_average(step, 9)) for step in (9, 10)]
    [False, True]
    """
    return _difference(step, tf.maximum(start, 1)) > 0


def tells_of_step_length(step: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    """Whether a loss at the average tells anything: it is not that at the weights.

    The average is equal to the weights after the second step, and after the first one
    since it started anew.

    Args:
        step: Scalar integer, number of steps taken before the one that measures.
        start: Scalar integer, what `step` was when the average last started anew, or 0.

    Returns:
        Scalar boolean.

    Example:

    >>> [bool(tells_of_step_length(step, 0)) for step in (2, 3)]
    [False, True]
    >>> [bool(tells_of_step_length(step, 9)) for step in (9, 10, 11)]
    [False, False, True]
    """
    return _difference(step, tf.maximum(start, 1)) > 1


def is_blind(
    step: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor | float, latest: int
) -> tf.Tensor:
    """Whether the gain must be held, for nothing is going to correct it.

    Rules raise the gain as long as nothing speaks against it. In a training that goes
    on, measurements soon will; in one that is cut into pieces of few steps they may
    never be taken.

    Args:
        step: Scalar integer, number of steps taken before.
        start: Scalar integer, what `step` was when the average last started anew, or 0.
        count: Scalar, number of loss probes so far.
        latest: Integer, the first step that must not come without a loss probe.

    Returns:
        Scalar boolean. Until the average starts anew for the first time it is true
        only if step `latest` comes without a loss probe, as in eager code.

    Example:

    >>> [bool(is_blind(5, start, 0.0, latest=20)) for start in (0, 3)]
    [False, True]
    >>> [bool(is_blind(20, 0, count, latest=20)) for count in (0.0, 1.0)]
    [True, False]
    >>> [bool(is_blind(step, 3, 2.0, latest=20)) for step in (3, 4, 5)]
    [True, True, False]
    """
    unmeasured = tf.less(count, 2.0) | ~tells_of_step_length(step, start)
    never = tf.equal(count, 0.0) & tf.greater_equal(step, latest)
    return (tf.greater(start, 0) & unmeasured) | never


def _difference(step: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    # Users may set `iterations` back.
    return tf.maximum(tf.cast(step, tf.int64) - tf.cast(start, tf.int64), 0)
