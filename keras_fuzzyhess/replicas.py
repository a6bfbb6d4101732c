"""One step on several replicas: sums over them, and a branch that all take together."""

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


def cond_in_every_replica(predicate: tf.Tensor, branch: Callable[[], None]) -> None:
    """Runs `branch` in every replica if `predicate` holds, as one `tf.cond`.

    Inside a `tf.cond` of its own a replica could not sum over replicas; hence one
    `tf.cond` around all of them, as in Keras's `LossScaleOptimizer`.

    Args:
        predicate: Scalar boolean tensor, the same in all replicas.
        branch: Callable without arguments and result that acts by assigning
            variables; each replica gives its own.

    Example:

    >>> count = tf.Variable(0)
    >>> cond_in_every_replica(tf.constant(True), lambda: count.assign_add(1))
    >>> cond_in_every_replica(tf.constant(False), lambda: count.assign_add(1))
    >>> int(count)
    1
    """

    def cond(predicate, branch):
        def run():
            branch()
            return tf.constant(True)

        tf.cond(predicate, run, lambda: tf.constant(False))

    def across_replicas(strategy, predicate, branch):
        def branch_of_all():
            strategy.extended.call_for_each_replica(
                lambda own_branch: own_branch(), args=(branch,)
            )

        # All replicas hold the same predicate; the first one's serves.
        cond(strategy.experimental_local_results(predicate)[0], branch_of_all)

    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        cond(predicate, branch)
    else:
        tf.distribute.get_replica_context().merge_call(
            across_replicas, args=(predicate, branch)
        )
