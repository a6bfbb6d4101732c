"""Python code inside of a traced step: it is called again, and must answer the same."""

import tensorflow as tf

from keras_fuzzyhess.backend import effects

DIFFERS = (
    "Python code on the way from the weights to the gradients must give the same for "
    "the same inputs, for the optimizer takes the gradients again with the same noise. "
    "Received two results that differ. Draw noise outside of the Python code and hand "
    "it in as an argument. The operation:"
)


def check_python(op: tf.Operation, after: list[tf.Operation]) -> list[tf.Operation]:
    """Calls Python code again with the inputs that it had, and compares the outputs.

    Args:
        op: An `EagerPyFunc` or `PyFunc` of a traced step.
        after: List of operations that the call waits for.

    Returns:
        List of operations to wait for. They fail with an `InvalidArgumentError` when
        the step runs, if an output differs. Empty for gradients of `tf.py_function`,
        which forget what they were computed from.
    """
    if effects.is_of_tape(op):
        return []
    graph = tf.compat.v1.get_default_graph()
    with tf.control_dependencies(after):
        again = graph.create_op(
            op.type,
            list(op.inputs),
            dtypes=[tensor.dtype for tensor in op.outputs],
            name=f"check/{op.name}",
            attrs={k: v for k, v in op.node_def.attr.items() if k != "_output_shapes"},
            op_def=op.op_def,
        )
    return [
        tf.debugging.Assert(_same(old, new), [DIFFERS, op.name])
        for old, new in zip(op.outputs, again.outputs, strict=True)
    ]


def _same(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    same = tf.equal(tf.shape(old), tf.shape(new))
    equal = tf.math.equal(old, new)
    if old.dtype.is_floating:
        equal |= tf.math.is_nan(old) & tf.math.is_nan(new)
    return tf.reduce_all(same) & tf.reduce_all(equal)
