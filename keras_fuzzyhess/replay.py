"""Gradients of a training step being traced, at shifted weights.

Keras hands an optimizer gradients, never the loss function. Inside a
`tf.function` those gradients are symbolic, and the graph that computes them is at
hand: `GradientReplay` clones the part of it that depends on the weights and
evaluates the clone at `w + shift`. Everything that does not depend on the weights
(the minibatch, dropout masks, augmentation) is shared with the original, and what
no gradient depends on (BatchNorm's moving statistics, metrics) is not repeated.

This file and `graph_path.py` are the only ones that know TensorFlow graphs.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.graph_path import find_path

# Attributes that tie an operation to its place in the original graph.
_PLACEMENT_ATTRIBUTES = frozenset(
    {"_class", "_output_shapes", "_tpu_replicate", "_xla_inferred_shapes"}
)

SMALL = 2**10
"""Constants of at most so many elements are repeated in a branch. Our choice."""


class GradientReplay:
    """Evaluates the gradients and the loss of a traced step at shifted weights.

    With `g(w) = dL(w)/dw` the gradients of the step being traced, calling the
    replay gives `g(w + shift)` and `L(w + shift)` for the same minibatch and the
    same noise. The weights hold the same bits before and after; between, only
    weights that a loop, a branch or a nested function reads by itself (those of
    recurrent layers, say) hold the shifted value.

    The replay may be called in the graph of the step or in a graph inside it, such
    as a branch of `tf.cond`.

    Args:
        gradients: List of symbolic dense tensors, the gradients with respect to
            `variables`.
        loss: Symbolic scalar tensor, the loss that the gradients are of (or a
            multiple of it).
        variables: List of `tf.Variable`s, in the order of `gradients`.

    Raises:
        ValueError: if it cannot see how the gradients depend on the weights (eager
            tensors, gradients captured from another graph), or if it cannot repeat
            the step without repeating a side effect.

    Example:

    >>> w = tf.Variable([1.0, 2.0])
    >>> @tf.function
    ... def gradient_at_shift():
    ...     with tf.GradientTape() as tape:
    ...         loss = tf.reduce_sum(w**3)
    ...     gradient = tape.gradient(loss, w)
    ...     replay = GradientReplay([gradient], loss, [w])
    ...     return replay([tf.constant([1.0, 0.0])])
    >>> gradients, loss = gradient_at_shift()
    >>> gradients[0].numpy().tolist(), float(loss)
    ([12.0, 12.0], 16.0)

    Source: our own; arXiv 2403.15416 takes the gradient at `w + r` but leaves open
    how.
    """

    def __init__(
        self,
        gradients: Sequence[tf.Tensor],
        loss: tf.Tensor,
        variables: Sequence[tf.Variable],
    ) -> None:
        self._path = find_path(gradients, loss, variables)
        self._graph = loss.graph
        self._gradients = list(gradients)
        self._loss = loss
        self._handles = [self._graph.capture(v.handle) for v in variables]
        self._indirect = self._indirectly_read()

    def __call__(
        self, shifts: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Gradients and loss at `w + shift`.

        Args:
            shifts: List of tensors of the weights' shapes.

        Returns:
            Tuple of the list of gradients at the shifted weights and the loss there.
        """
        graph = tf.compat.v1.get_default_graph()
        here = self._resources_in(graph)
        # Reading after the gradients are known keeps the order
        # "gradients, shift, replay, restore" also where no one else ensures it.
        with tf.control_dependencies(
            [self._loss, *self._gradients] if graph is self._graph else []
        ):
            kept = {
                handle.ref(): tf.raw_ops.ReadVariableOp(
                    resource=here[handle.ref()], dtype=shift.dtype
                )
                for handle, shift in zip(self._handles, shifts, strict=True)
            }
        shifted = {
            handle.ref(): kept[handle.ref()] + shift
            for handle, shift in zip(self._handles, shifts, strict=True)
        }
        shift_all = _assign([(here[h], shifted[h]) for h in self._indirect])
        clones, readers = self._clone_path(graph, here, shifted, shift_all)
        originals = [*self._gradients, self._loss]
        outputs = [clones.get(tensor.ref(), tensor) for tensor in originals]
        if self._indirect:
            with tf.control_dependencies(readers):
                restore_all = _assign([(here[h], kept[h]) for h in self._indirect])
            with tf.control_dependencies([restore_all]):
                outputs = [tf.identity(output) for output in outputs]
        for output, original in zip(outputs, originals, strict=True):
            output.set_shape(original.shape)  # in a branch it is not inferred
        return outputs[:-1], outputs[-1]

    def _indirectly_read(self) -> list:
        """Handles of weights that a loop, branch or function reads by itself."""
        return [
            handle.ref()
            for handle in self._handles
            if any(
                op.type not in ("ReadVariableOp", "ResourceGather")
                for op in self._path
                for tensor in op.inputs
                if tensor is handle
            )
        ]

    def _resources_in(self, graph: tf.Graph) -> dict:
        """What stands for each resource of the path in `graph`, a branch perhaps.

        A branch that updates a weight takes its resource from outside of the step's
        graph. Were it to come in once more, through the step's graph, TensorFlow would
        take the branch for one that only reads it, and let what follows the step read
        the weight before the update.
        """
        inputs = [tensor for op in self._path for tensor in op.inputs]
        outside = {inner.ref(): outer for outer, inner in self._graph.captures}
        resources = {}
        for tensor in [*self._handles, *inputs]:
            if tensor.dtype == tf.resource:
                outer = outside.get(tensor.ref())
                is_variable = isinstance(outer, tf.__internal__.EagerTensor)
                resources[tensor.ref()] = (
                    graph.capture(outer) if is_variable else tensor
                )
        return resources

    def _clone_path(
        self, graph: tf.Graph, resources: dict, shifted: dict, shift_all: tf.Operation
    ) -> tuple[dict, list[tf.Operation]]:
        """Clones the path; returns the clones of its tensors and what reads weights."""
        clones = resources | self._clone_constants(graph)
        clone_of: dict[tf.Operation, tf.Operation] = {}
        readers: list[tf.Operation] = []
        for op in self._path:
            handle = op.inputs[0].ref()
            if op.type == "ReadVariableOp" and handle in shifted:
                outputs = [shifted[handle]]
            elif op.type == "ResourceGather" and handle in shifted:
                indices = op.inputs[1]
                outputs = [
                    tf.gather(
                        shifted[handle],
                        clones.get(indices.ref(), indices),
                        batch_dims=op.get_attr("batch_dims"),
                    )
                ]
            else:
                reads = any(tensor.dtype == tf.resource for tensor in op.inputs)
                # By control inputs a gradient waits with what it computes anew until it
                # is needed. Without them that is kept from the forward pass on.
                after = [clone_of[o] for o in op.control_inputs if o in clone_of]
                after += [shift_all] if reads else []
                clone = clone_of[op] = _clone(op, graph, clones, after)
                outputs = list(clone.outputs)
                if reads:
                    readers.append(clone)
            for original, new in zip(op.outputs, outputs, strict=True):
                clones[original.ref()] = new
        return clones, readers

    def _clone_constants(self, graph: tf.Graph) -> dict:
        """Clones of the small constants of the path, if `graph` is a branch.

        A gradient has thousands of them, shapes and axes, most of them equal. Each that
        a branch took from outside would cost several operations in every step.
        """
        if graph is self._graph:
            return {}
        clones, by_value = {}, {}
        for tensor in (tensor for op in self._path for tensor in op.inputs):
            if (
                tensor.op.type == "Const"
                and tensor.shape.num_elements() <= SMALL
                and not tensor.op.control_inputs  # or TensorFlow would not wait
            ):
                value = tensor.op.node_def.attr["value"].SerializeToString()
                key = tensor.op.device, value
                if key not in by_value:
                    by_value[key] = _clone(tensor.op, graph, {}, []).outputs[0]
                clones[tensor.ref()] = by_value[key]
        return clones


def _assign(values: list[tuple[tf.Tensor, tf.Tensor]]) -> tf.Operation:
    return tf.group(
        *(
            tf.raw_ops.AssignVariableOp(resource=resource, value=value)
            for resource, value in values
        )
    )


def _clone(
    op: tf.Operation, graph: tf.Graph, clones: dict, after: list[tf.Operation]
) -> tf.Operation:
    attributes = {
        name: value
        for name, value in op.node_def.attr.items()
        if name not in _PLACEMENT_ATTRIBUTES
    }
    with tf.device(op.device or None), tf.control_dependencies(after):
        return graph.create_op(
            op.type,
            [clones.get(tensor.ref(), tensor) for tensor in op.inputs],
            dtypes=[tensor.dtype for tensor in op.outputs],
            name=f"replay/{op.name}",
            attrs=attributes,
            op_def=op.op_def,
        )
