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
    if not several_replicas():
        return tensors
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def several_replicas() -> bool:
    """Whether other replicas take this step as well.

    Example:

    >>> several_replicas()
    False
    """
    return tf.distribute.get_replica_context().num_replicas_in_sync > 1


def sum_in_one(
    vectors: list[tf.Tensor], scalar: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Sums over all replicas of vectors and of a scalar that travels with the first.

    A sum of its own would cost the scalar as much waiting as all the vectors.

    Example:

    >>> vectors, scalar = sum_in_one([tf.constant([1.0, 2.0])], tf.constant(3.0))
    >>> vectors[0].numpy().tolist(), float(scalar)
    ([1.0, 2.0], 3.0)
    """
    first, *others = vectors
    longer = tf.concat([first, [tf.cast(scalar, first.dtype)]], axis=0)
    longer, *others = all_reduce_sum([longer, *others])
    return [longer[:-1], *others], tf.cast(longer[-1], scalar.dtype)


def meet_in_own_branch() -> bool:
    """Whether replicas may meet, to sum, inside a `tf.cond` of their own.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` they may not, unless XLA
    compiles the step for GPUs: replicas are threads there, which meet outside of
    every branch only.

    Example:

    >>> meet_in_own_branch()
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


def refuse_meeting_in_own_branch(**settings: int | bool | None) -> None:
    """Refuses settings of an optimizer with which Keras makes replicas meet there.

    Keras's own optimizers fail with them as well, while the step is traced.

    Args:
        **settings: Values by name; what is false or None is not used.

    Raises:
        ValueError: if one is used where replicas cannot meet in a branch.

    Example:

    >>> refuse_meeting_in_own_branch(gradient_accumulation_steps=4)  # one device
    """
    for name, value in settings.items():
        if value and not meet_in_own_branch():
            raise ValueError(
                f"`{name}` must be left out under "
                f"{type(tf.distribute.get_strategy()).__name__}, whose replicas cannot "
                "sum gradients or update weights inside a `tf.cond`. "
                f"Received: {name}={value}. Take larger batches instead of "
                "accumulating gradients, and let `fit` take over the averages of "
                "`use_ema` at its end; or train on one device without a strategy."
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
        done = tf.cond(
            predicate, *(functools.partial(_run, branch) for branch in branches)
        )
        if tf.is_symbolic_tensor(done) and is_on_one_cpu():
            call_branches(done)

    def across_replicas(strategy, predicate, *branches):
        in_each = strategy.extended.call_for_each_replica
        # All replicas hold the same predicate; the first one's serves.
        cond(
            strategy.experimental_local_results(predicate)[0],
            *(functools.partial(in_each, _run, (branch,)) for branch in branches),
        )

    if meet_in_own_branch():
        cond(predicate, then, otherwise)
    else:
        tf.distribute.get_replica_context().merge_call(
            across_replicas, args=(predicate, then, otherwise)
        )


def is_on_one_cpu() -> bool:
    """Whether there is no other device, on which an operation of a branch could be.

    Example:

    >>> is_on_one_cpu() or len(tf.config.list_logical_devices()) > 1
    True
    """
    return [d.device_type for d in tf.config.list_logical_devices()] == ["CPU"]


def call_branches(result: tf.Tensor) -> None:
    """Has the branch of a `tf.cond` called as a function of its own.

    TensorFlow else makes the operations of both branches part of the graph, where those
    of the branch that is not taken are gone through one by one. A step of a small
    network takes 1.3 times as long then. Called, a branch must be on one device.

    Args:
        result: Tensor that `tf.cond` has returned in a graph.

    Example:

    >>> @tf.function
    ... def twice_or_not(x):
    ...     result = tf.cond(x > 0, lambda: 2 * x, lambda: x)
    ...     call_branches(result)
    ...     return result
    >>> float(twice_or_not(tf.constant(3.0))), float(twice_or_not(tf.constant(-3.0)))
    (6.0, -3.0)
    """
    (conditional,) = {tensor.op for tensor in result.op.inputs}
    lowered = tf.compat.v1.AttrValue(b=False)
    conditional._set_attr("_lower_using_switch_merge", lowered)


def _run(branch: Callable[[], None]) -> tf.Tensor:
    """Runs a branch; what a `tf.cond` returns must be a tensor."""
    branch()
    return tf.constant(True)
