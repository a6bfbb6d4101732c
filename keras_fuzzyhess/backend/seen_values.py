"""Values of variables as the operations of a step saw them.

A variable may change between the forward pass and the probe: another optimizer takes
its step, a layer updates its table, a loop moves the seed of its noise. The replay must
see what the step saw. TensorFlow orders what uses a variable as a program does, so the
value is one that the variable had between two operations that change it. An operation
that reads it is put in between.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.backend import effects, refusals
from keras_fuzzyhess.backend.graph_path import Path, root


class SeenValues:
    """What the operations of a path have seen of variables that have changed since.

    Args:
        path: The operations that are going to be repeated, at the end of the present
            graph.

    Example:

    >>> from keras_fuzzyhess.backend.graph_path import find_path
    >>> w, table = tf.Variable([2.0]), tf.Variable([3.0, 4.0])
    >>> @tf.function
    ... def step():
    ...     loss = tf.reduce_sum(w * tf.gather(table, tf.cast(w, tf.int32) - 2))
    ...     table.assign([7.0, 7.0])
    ...     path = find_path([loss * w], [loss], [w])
    ...     seen = SeenValues(path)
    ...     (gather,) = (op for op in path.operations if "Gather" in op.type)
    ...     return seen.of(gather, gather.inputs[0])
    >>> step().numpy().tolist()
    [3.0, 4.0]
    """

    def __init__(self, path: Path) -> None:
        self._changes: dict = {}  # by resource what changes it, in order
        self._place: dict[tf.Operation, int] = {}
        used = [
            (op, tensor)
            for op in path.operations
            for tensor in op.inputs
            if tensor.dtype == tf.resource
        ]
        resources = {root(tensor).ref() for _, tensor in used}
        self._note_changes(path.graphs, resources)
        self._between: dict = {}  # by resource and version
        self._values: dict = {}  # by operation and resource
        for op, tensor in used:
            self._values[op, root(tensor).ref()] = self._seen(op, tensor)

    def of(self, op: tf.Operation, resource: tf.Tensor) -> tf.Tensor | None:
        """What `op` saw of a variable, or None if the variable still has that value."""
        return self._values[op, root(resource).ref()]

    def version(self, op: tf.Operation, resource: tf.Tensor) -> int:
        """How many operations had changed the variable when `op` saw it."""
        changes = self._changes.get(root(resource).ref(), [])
        return sum(self._place[change] < self._place[op] for change in changes)

    def changes(self, op: tf.Operation, resource: tf.Tensor) -> bool:
        """Whether `op` changes the variable."""
        return op in self._changes.get(root(resource).ref(), [])

    def _note_changes(self, graphs: Sequence[tf.Graph], resources: set) -> None:
        place = 0
        for graph in graphs:
            for op in graph.get_operations():
                place += 1
                self._place[op] = place
                if not any(tensor.dtype == tf.resource for tensor in op.inputs):
                    continue
                for i in effects.changed_inputs(op):
                    resource = root(op.inputs[i]).ref()
                    if resource in resources:
                        self._changes.setdefault(resource, []).append(op)

    def _seen(self, op: tf.Operation, resource: tf.Tensor) -> tf.Tensor | None:
        changes = self._changes.get(root(resource).ref(), [])
        version = self.version(op, resource)
        if version == len(changes):
            return None
        dtype = variable_dtype(resource)
        if dtype is None:
            if any(change is not op for change in changes[version:]):
                refusals.refuse_changed_table(op)
            return None
        if op.type == "ReadVariableOp":
            return op.outputs[0]
        key = root(resource).ref(), version
        if key not in self._between:
            self._between[key] = _read_between(
                resource, dtype, changes[:version], changes[version:]
            )
        return self._between[key]


def variable_dtype(resource: tf.Tensor) -> tf.DType | None:
    """The dtype of the variable that a symbolic resource is of; None if of none.

    Example:

    >>> w = tf.Variable(1.0)
    >>> @tf.function
    ... def step():
    ...     handle = tf.compat.v1.get_default_graph().capture(w.handle)
    ...     print(variable_dtype(handle))
    >>> step()
    <dtype: 'float32'>
    """
    data = tf.__internal__.ops.get_resource_handle_data(resource)
    if not data.is_set or len(data.shape_and_type) != 1:
        return None
    return tf.as_dtype(data.shape_and_type[0].dtype)


def _read_between(
    resource: tf.Tensor,
    dtype: tf.DType,
    before: Sequence[tf.Operation],
    after: Sequence[tf.Operation],
) -> tf.Tensor:
    """The value of a variable after some operations and before others, all made."""
    graph = resource.graph
    before, after = ([op for op in ops if op.graph is graph] for ops in (before, after))
    with (
        graph.as_default(),
        tf.control_dependencies(None),  # those of the present place
        tf.control_dependencies(before[-1:]),
    ):
        value = tf.raw_ops.ReadVariableOp(resource=resource, dtype=dtype)
    # TensorFlow would order it behind them, for it is made later.
    if graph.experimental_acd_manager is not None:
        graph.experimental_acd_manager.run_independently(value.op)
    for op in after[:1]:
        op._add_control_input(value.op)
    return value
