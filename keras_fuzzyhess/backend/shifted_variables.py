"""Variables at shifted weights, while a replay runs.

What reads a weight by itself is given the shifted value. What takes the variable's
handle, such as a loop, a branch or a function, reads the variable: there the shifted
value, or the value that the step saw, is assigned and put back afterwards.
"""

from collections.abc import Iterable, Sequence

import tensorflow as tf

from keras_fuzzyhess.backend.graph_path import root
from keras_fuzzyhess.backend.seen_values import SeenValues, variable_dtype

_GATHERS = ("ResourceGather", "ResourceGatherNd")


class ShiftedVariables:
    """Values of variables in one evaluation of a replay.

    Args:
        seen: What the step has seen of variables that have changed since.
        resources: Dict of the handles to use, by the references of their roots.
        shifts: Dict of the shifts of the weights, by the references of their roots.
    """

    def __init__(self, seen: SeenValues, resources: dict, shifts: dict) -> None:
        self._seen = seen
        self._resources = resources
        self._shifts = shifts
        self._now: dict = {}  # what each variable holds when the replay begins
        self._shifted: dict = {}  # by resource and version
        self._assigned: dict = {}  # by resource: the version, and who is to wait for
        self._users: dict = {}

    def resource(self, tensor: tf.Tensor) -> tf.Tensor:
        """The handle to use in the place of one in an outer graph."""
        return self._resources[root(tensor).ref()]

    def read(self, path: Iterable[tf.Operation]) -> None:
        """Reads what is needed of the variables as they are now."""
        for op in path:
            for tensor in op.inputs:
                if tensor.dtype != tf.resource:
                    continue
                key = root(tensor).ref()
                is_base = key in self._shifts and self._seen.of(op, tensor) is None
                if key not in self._now and (is_base or self._is_assigned(op, tensor)):
                    self._now[key] = tf.raw_ops.ReadVariableOp(
                        resource=self._resources[key], dtype=variable_dtype(tensor)
                    )

    def read_by(
        self, op: tf.Operation, inputs: Sequence[tf.Tensor]
    ) -> list[tf.Tensor] | None:
        """The outputs of an operation that reads a weight, or None if it does not.

        Args:
            op: Operation of the path.
            inputs: List of its inputs in the replay.
        """
        if op.type not in ("ReadVariableOp", *_GATHERS):
            return None
        handle = op.inputs[0]
        if root(handle).ref() not in self._shifts and self._seen.of(op, handle) is None:
            return None
        value = self._value_for(op, handle)
        if op.type == "ReadVariableOp":
            return [value]
        if op.type == "ResourceGather":
            batch_dims = op.get_attr("batch_dims")
            return [tf.gather(value, inputs[1], batch_dims=batch_dims)]
        return [tf.gather_nd(value, inputs[1])]

    def set_for(self, op: tf.Operation) -> list[tf.Operation]:
        """Assigns variables that an operation reads by itself; what to wait for."""
        after = []
        for tensor in op.inputs:
            if not self._is_assigned(op, tensor):
                continue
            key, version = root(tensor).ref(), self._seen.version(op, tensor)
            holds, assignment = self._assigned.get(key, (None, None))
            if holds != version:
                waits = [*self._users.pop(key, []), self._now[key].op]
                with tf.control_dependencies(waits):
                    assignment = tf.raw_ops.AssignVariableOp(
                        resource=self._resources[key],
                        value=self._value_for(op, tensor),
                    )
                self._assigned[key] = version, assignment
            after.append(assignment)
        return after

    def note_use(self, op: tf.Operation, clone: tf.Operation) -> None:
        """Takes note of a clone, which uses what `set_for` has assigned."""
        for tensor in op.inputs:
            if self._is_assigned(op, tensor):
                key = root(tensor).ref()
                self._users.setdefault(key, []).append(clone)
                if self._seen.changes(op, tensor):
                    version, _ = self._assigned[key]
                    self._assigned[key] = version + 1, clone

    def restored(self, outputs: list[tf.Tensor]) -> list[tf.Tensor]:
        """Puts variables back; the outputs are known only when that is done."""
        if not self._assigned:
            return outputs
        users = [clone for clones in self._users.values() for clone in clones]
        with tf.control_dependencies(users):
            back = [
                tf.raw_ops.AssignVariableOp(
                    resource=self._resources[key], value=self._now[key]
                )
                for key in self._assigned
            ]
        with tf.control_dependencies(back):
            return [tf.identity(output) for output in outputs]

    def _is_assigned(self, op: tf.Operation, tensor: tf.Tensor) -> bool:
        """Whether the operation reads the variable by itself, and another value."""
        if tensor.dtype != tf.resource:
            return False
        if op.type in ("ReadVariableOp", "VariableShape", *_GATHERS):
            return False
        if variable_dtype(tensor) is None:
            return False
        is_weight = root(tensor).ref() in self._shifts
        return is_weight or self._seen.of(op, tensor) is not None

    def _value_for(self, op: tf.Operation, tensor: tf.Tensor) -> tf.Tensor:
        """What the operation is to see: what it saw in the step, and the shift."""
        key = root(tensor).ref()
        saw = self._seen.of(op, tensor)
        base = self._now[key] if saw is None else saw
        if key not in self._shifts:
            return base
        name = key, base.ref()
        if name not in self._shifted:
            self._shifted[name] = base + self._shifts[key]
        return self._shifted[name]
