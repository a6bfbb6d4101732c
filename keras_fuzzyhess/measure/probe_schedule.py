"""On which steps a second gradient is taken, and where."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_fuzzyhess.arguments import check_integer
from keras_fuzzyhess.constants import check_constants

LENGTH_PROBE = 1
"""The step that looks back on the first. No choice: later the average is not where that
came from, and steps that were too long have led to where the loss no longer shows it.
"""


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


@dataclasses.dataclass(eq=False)
class ProbeSchedule:
    """Which probe a step takes.

    At first every `interval`-th step takes one of each kind, half an interval apart.
    Where no direction asks for curvature, its probes are left out.
    As the training goes on, what they measure changes less from step to step, and they
    become rarer: a curvature probe is due where

        phase(step) = thinning / interval log(1 + step / thinning)

    reaches an integer, one at the averaged weights half-way between. So `n` steps take
    `2 phase(n)` probes, and up to two at the start. Never two on one step, so that one
    copy of the step's graph serves for all.

    Args:
        interval: Integer, at least 2.
        thinning: Float in [1, 1e5], number of steps after which probes are half as
            frequent. Defaults to `400.0`.
        early_curvature_probe: Integer of at least 2, a step that takes an additional
            curvature probe unless it takes a loss probe, for the first one alone says
            little. Defaults to `2`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> def kind(step):
    ...     due = ProbeSchedule(interval=4).due(step)._asdict()
    ...     return next((name for name, is_due in due.items() if is_due), "-")[:2]
    >>> " ".join(kind(step) for step in range(10)), kind(1000), kind(1001), kind(1002)
    ('cu le cu lo - cu - lo - cu', '-', '-', '-')
    """

    interval: int
    thinning: float = 400.0
    early_curvature_probe: int = 2

    def __post_init__(self) -> None:
        check_constants(self, thinning=(1, 1e5))
        self.early_curvature_probe = check_integer(
            "early_curvature_probe", self.early_curvature_probe, 2
        )

    def due(self, step: tf.Tensor) -> DueProbes:
        """Which probe a step takes.

        Args:
            step: Scalar integer, number of steps taken before.
        """
        curvature, loss = probe_steps(
            self.interval, self.thinning, self.early_curvature_probe
        )
        step = tf.cast(step, tf.int32)
        return DueProbes(
            curvature=tf.reduce_any(tf.equal(step, curvature)),
            loss=tf.reduce_any(tf.equal(step, loss)),
            length=tf.equal(step, LENGTH_PROBE),
        )


@functools.cache
def probe_steps(
    interval: int, thinning: float, early: int
) -> tuple[np.ndarray, np.ndarray]:
    """All steps that an int32 can count which take a curvature or a loss probe.

    A few thousand numbers, found once: to compute logarithms would take a step longer.
    """
    last = np.iinfo(np.int32).max
    count = int(2 * thinning / interval * np.log1p(last / thinning))
    phases = np.arange(count + 1) * interval / (2 * thinning)
    steps = np.ceil(thinning * np.expm1(phases) - 1e-6).astype(np.int32)
    curvature, loss = steps[::2], steps[1::2]
    additional = np.setdiff1d([early], loss).astype(np.int32)
    return np.union1d(curvature, additional), loss
