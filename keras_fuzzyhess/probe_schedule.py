"""On which steps a second gradient is taken, and for what."""

import tensorflow as tf

EARLY_CURVATURE_PROBES = (0, 2, 6)
EARLY_LENGTH_PROBES = (1, 3, 7)
"""Additional probes of the first steps, when nothing is known. Our choice."""


def probe_schedule(step: tf.Tensor, interval: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether a step takes a curvature probe or a length probe.

    Every `interval`-th step takes one of each kind, half an interval apart; never
    both, so that one copy of the step's graph serves for both.

    Args:
        step: Scalar integer, number of steps taken before.
        interval: Integer, at least 2.

    Returns:
        Tuple of two scalar booleans, at most one of them true.

    Example:

    >>> def kind(step):
    ...     is_curvature, is_length = probe_schedule(step, interval=10)
    ...     return "c" if is_curvature else "l" if is_length else "."
    >>> "".join(kind(step) for step in range(22))
    'clcl.lcl..c....l....c.'
    """
    step = tf.cast(step, tf.int32)
    phase = step % interval
    regular_curvature = tf.equal(phase, 0)
    regular_length = tf.equal(phase, interval // 2)
    early_curvature = tf.reduce_any(tf.equal(step, EARLY_CURVATURE_PROBES))
    early_length = tf.reduce_any(tf.equal(step, EARLY_LENGTH_PROBES))
    return (
        regular_curvature | (early_curvature & ~regular_length),
        regular_length | (early_length & ~regular_curvature),
    )
