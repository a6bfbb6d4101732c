"""Single operations of TensorFlow: each on all weights is a pass through memory."""

import tensorflow as tf


def subtract_multiple(
    variable: tf.Variable, factor: tf.Tensor, values: tf.Tensor
) -> None:
    """`variable <- variable - factor values`, of this replica's copy.

    Args:
        variable: `tf.Variable`.
        factor: Scalar.
        values: Tensor of the variable's shape and dtype.

    Example:

    >>> variable = tf.Variable([5.0, 3.0])
    >>> subtract_multiple(variable, tf.constant(2.0), tf.constant([1.0, 2.0]))
    >>> variable.numpy().tolist()
    [3.0, -1.0]
    """
    tf.raw_ops.ResourceApplyGradientDescent(
        var=variable.handle, alpha=tf.cast(factor, values.dtype), delta=values
    )


def overwrite(variable: tf.Variable, values: tf.Tensor) -> None:
    """`variable <- values`, of this replica's copy.

    Example:

    >>> variable = tf.Variable([5.0, 3.0])
    >>> overwrite(variable, tf.constant([1.0, 2.0]))
    >>> variable.numpy().tolist()
    [1.0, 2.0]
    """
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=values)


def move_average(average: tf.Variable, value: tf.Tensor, rate: tf.Tensor) -> None:
    """`average <- average + rate (value - average)`, of this replica's copy.

    Args:
        average: `tf.Variable`.
        value: Tensor of its shape and dtype.
        rate: Scalar in [0, 1], the weight of the new value.

    Example:

    >>> average = tf.Variable([1.0])
    >>> move_average(average, tf.constant([3.0]), tf.constant(0.25))
    >>> average.numpy().item()
    1.5
    """
    subtract_multiple(average, rate, average - value)


def clip(values: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Every element in `[-bound, bound]`; `tf.clip_by_value` takes two operations.

    Example:

    >>> clip(tf.constant([10.0, 0.0, -7.0]), tf.constant(5.0)).numpy().tolist()
    [5.0, 0.0, -5.0]
    """
    bound = tf.cast(bound, values.dtype)
    return tf.raw_ops.ClipByValue(t=values, clip_value_min=-bound, clip_value_max=bound)


def sum_over_rows(matrix: tf.Tensor) -> tf.Tensor:
    """The sum of each column, which `tf.reduce_sum` takes more slowly on a CPU.

    Example:

    >>> sum_over_rows(tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    [4.0, 6.0]
    """
    return tf.raw_ops.BiasAddGrad(out_backprop=matrix)
