"""On which steps a second gradient is taken, and where."""

from typing import NamedTuple

import tensorflow as tf

THINNING = 400.0
"""Number of steps after which probes are half as frequent. Our choice."""

LENGTH_PROBE = 1
"""The step that looks back on the first: later, steps that were too long have already
led to where the loss no longer shows it."""

EARLY_CURVATURE_PROBE = 2
"""An additional probe, for the first one alone says little. Our choice."""


class DueProbes(NamedTuple):
    """Scalar booleans, at most one of them true.

    Attributes:
        curvature: Whether the second gradient is taken at randomly shifted weights.
        loss: At the averaged weights.
        length: Where the first step came from.
    """

    curvature: tf.Tensor
    loss: tf.Tensor
    length: tf.Tensor


def probe_schedule(step: tf.Tensor, interval: int) -> DueProbes:
    """Which probe a step takes.

    At first every `interval`-th step takes one of each kind, half an interval apart.
    As the training goes on, what they measure changes less from step to step, and they
    become rarer: a curvature probe is due where

        phase(step) = 400 / interval log(1 + step / 400)

    reaches an integer, one at the averaged weights half-way between. So `n` steps take
    `2 phase(n)` probes, and up to two at the start. Never two on one step, so that one
    copy of the step's graph serves for all.

    Args:
        step: Scalar integer, number of steps taken before.
        interval: Integer, at least 2.

    Returns:
        `DueProbes`.

    Example:

    >>> def kind(step):
    ...     due = probe_schedule(step, interval=4)._asdict()
    ...     return next((name for name, is_due in due.items() if is_due), "-")[:2]
    >>> " ".join(kind(step) for step in range(10)), kind(1000), kind(1001), kind(1002)
    ('cu le cu lo - cu - lo - cu', '-', '-', '-')
    """
    half_phases = _half_phases(step, interval)
    due = half_phases > _half_phases(tf.cast(step, tf.int32) - 1, interval)
    is_even = tf.equal(half_phases % 2, 0)
    length = tf.equal(tf.cast(step, tf.int32), LENGTH_PROBE)
    early = tf.equal(tf.cast(step, tf.int32), EARLY_CURVATURE_PROBE)
    loss = due & ~is_even
    return DueProbes((due & is_even) | (early & ~loss), loss, length)


def _half_phases(step: tf.Tensor, interval: int) -> tf.Tensor:
    """Whole half phases that have passed; -1 before the first step."""
    step = tf.cast(step, tf.float32)
    phase = 2 * THINNING / interval * tf.math.log1p(step / THINNING)
    return tf.cast(tf.floor(phase + 1e-3), tf.int32)
