"""On which steps a second gradient is taken, and where."""

import tensorflow as tf

EARLY_CURVATURE_PROBES = (0, 2)
"""Additional probes of the first steps, when nothing is known. Our choice."""


def probe_schedule(step: tf.Tensor, interval: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a step takes a curvature probe or a probe at the averaged weights.

    Every `interval`-th step takes one of each kind, half an interval apart; never
    both, so that one copy of the step's graph serves for both.

    Args:
        step: Scalar integer, number of steps taken before.
        interval: Integer, at least 2.

    Returns:
        Tuple of two scalar booleans, at most one of them true.

    Example:

    >>> def kind(step):
    ...     is_curvature, is_average = probe_schedule(step, interval=10)
    ...     return "c" if is_curvature else "a" if is_average else "."
    >>> "".join(kind(step) for step in range(22))
    'c.c..a....c....a....c.'
    """
    step = tf.cast(step, tf.int32)
    phase = step % interval
    is_average = tf.equal(phase, interval // 2)
    early = tf.reduce_any(tf.equal(step, EARLY_CURVATURE_PROBES))
    return (tf.equal(phase, 0) | early) & ~is_average, is_average
