"""One step on several replicas: sums over them, and branches that all take together."""

import functools
from collections.abc import Callable

import tensorflow as tf


def all_reduce_sum(tensors):
    """Sum over all replicas of a tensor or list of tensors.

    With the default strategy it returns its argument.

    Example:

    >>> float(all_reduce_sum(tf.constant(2.0)))
    2.0
    """
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def sums_in_own_branch() -> bool:
    """Whether a replica may sum over replicas inside a `tf.cond` of its own.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` it may not, unless XLA
    compiles the step for GPUs: replicas are threads there, which meet outside of
    every branch only.

    Example:

    >>> sums_in_own_branch()
    True
    """
    threads = (
        tf.distribute.MirroredStrategy,
        tf.distribute.MultiWorkerMirroredStrategy,
    )
    return (
        tf.__internal__.distribute.strategy_supports_no_merge_call()
        or not isinstance(tf.distribute.get_strategy(), threads)
    )


def cond_in_every_replica(
    predicate: tf.Tensor, then: Callable[[], None], otherwise: Callable[[], None]
) -> None:
    """Runs one of two branches in every replica, as one `tf.cond`.

    Where replicas cannot sum inside a `tf.cond` of their own, there is one `tf.cond`
    around all of them, as in Keras's `LossScaleOptimizer`. Calls may be nested.

    Args:
        predicate: Scalar boolean tensor, the same in all replicas.
        then: Callable without arguments and result that acts by assigning variables;
            each replica gives its own.
        otherwise: The same, for where `predicate` does not hold.

    Example:

    >>> count = tf.Variable(0)
    >>> up, down = lambda: count.assign_add(1), lambda: count.assign_sub(10)
    >>> cond_in_every_replica(tf.constant(True), up, down)
    >>> cond_in_every_replica(tf.constant(False), up, down)
    >>> int(count)
    -9
    """

    def cond(predicate, *branches):
        tf.cond(predicate, *(functools.partial(_run, branch) for branch in branches))

    def across_replicas(strategy, predicate, *branches):
        in_each = strategy.extended.call_for_each_replica
        # All replicas hold the same predicate; the first one's serves.
        cond(
            strategy.experimental_local_results(predicate)[0],
            *(functools.partial(in_each, _run, (branch,)) for branch in branches),
        )

    if sums_in_own_branch():
        cond(predicate, then, otherwise)
    else:
        tf.distribute.get_replica_context().merge_call(
            across_replicas, args=(predicate, then, otherwise)
        )


def _run(branch: Callable[[], None]) -> tf.Tensor:
    """Runs a branch; what a `tf.cond` returns must be a tensor."""
    branch()
    return tf.constant(True)
