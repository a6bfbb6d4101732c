"""On which steps a second gradient is taken, and where."""

import tensorflow as tf

THINNING = 400.0
"""Number of steps after which probes are half as frequent. Our choice."""

EARLY_CURVATURE_PROBE = 2
"""An additional probe, for the first one alone says little. Our choice."""


def probe_schedule(step: tf.Tensor, interval: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a step takes a curvature probe or a probe at the averaged weights.

    At first every `interval`-th step takes one of each kind, half an interval apart.
    As the training goes on, what they measure changes less from step to step, and they
    become rarer: a curvature probe is due where

        phase(step) = 400 / interval log(1 + step / 400)

    reaches an integer, one at the averaged weights half-way between. So `n` steps take
    `2 phase(n)` probes. Never both on one step, so that one copy of the step's graph
    serves for both.

    Args:
        step: Scalar integer, number of steps taken before.
        interval: Integer, at least 2.

    Returns:
        Tuple of two scalar booleans, at most one of them true.

    Example:

    >>> def kind(step):
    ...     is_curvature, is_average = probe_schedule(step, interval=4)
    ...     return "c" if is_curvature else "a" if is_average else "."
    >>> "".join(kind(step) for step in range(10)), kind(1000), kind(1001), kind(1002)
    ('c.ca.c.a.c', '.', '.', '.')
    """
    half_phases = _half_phases(step, interval)
    due = half_phases > _half_phases(tf.cast(step, tf.int32) - 1, interval)
    is_curvature = due & tf.equal(half_phases % 2, 0)
    is_average = due & ~is_curvature
    early = tf.equal(tf.cast(step, tf.int32), EARLY_CURVATURE_PROBE)
    return is_curvature | (early & ~is_average), is_average


def _half_phases(step: tf.Tensor, interval: int) -> tf.Tensor:
    """Whole half phases that have passed; -1 before the first step."""
    step = tf.cast(step, tf.float32)
    phase = 2 * THINNING / interval * tf.math.log1p(step / THINNING)
    return tf.cast(tf.floor(phase + 1e-3), tf.int32)
