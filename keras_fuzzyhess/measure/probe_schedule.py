"""On which steps a second gradient is taken, and where."""

import functools
from typing import NamedTuple

import numpy as np
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
    curvature, loss = _probe_steps(interval)
    step = tf.cast(step, tf.int32)
    return DueProbes(
        curvature=tf.reduce_any(tf.equal(step, curvature)),
        loss=tf.reduce_any(tf.equal(step, loss)),
        length=tf.equal(step, LENGTH_PROBE),
    )


@functools.cache
def _probe_steps(interval: int) -> tuple[np.ndarray, np.ndarray]:
    """All steps that an int32 can count which take a curvature or a loss probe.

    A few thousand numbers, found once: to compute logarithms would take a step longer.
    """
    last = np.iinfo(np.int32).max
    count = int(2 * THINNING / interval * np.log1p(last / THINNING))
    phases = np.arange(count + 1) * interval / (2 * THINNING)
    steps = np.ceil(THINNING * np.expm1(phases) - 1e-6).astype(np.int32)
    curvature, loss = steps[::2], steps[1::2]
    early = np.setdiff1d([EARLY_CURVATURE_PROBE], loss).astype(np.int32)
    return np.union1d(curvature, early), loss
