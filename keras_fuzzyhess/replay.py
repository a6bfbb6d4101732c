"""Gradients of a training step being traced, at shifted weights.

Keras hands an optimizer gradients, never the loss function. Inside a
`tf.function` those gradients are symbolic, and the graph that computes them is at
hand: `GradientReplay` clones the part of it that depends on the weights and
evaluates the clone at `w + shift`. Everything that does not depend on the weights
(the minibatch, dropout masks, augmentation) is shared with the original, and what
no gradient depends on (BatchNorm's moving statistics, metrics) is not repeated.

This is the only file that knows TensorFlow graphs.
"""

from collections.abc import Iterable, Sequence

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.python.framework import op_def_registry

# Stateful operations that may be repeated: they change nothing.
_READERS = frozenset(
    {
        "Assert",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "VariableShape",
    }
)
# Stateful operations whose original outputs are used again instead of a clone, so
# that both evaluations see the same noise. (Keras draws noise with stateless
# operations, whose clones repeat it by themselves.)
_NOISE = frozenset(
    {
        "RandomUniform",
        "RandomUniformInt",
        "RandomStandardNormal",
        "ParameterizedTruncatedNormal",
        "TruncatedNormal",
        "RandomShuffle",
        "RandomGamma",
        "RandomPoissonV2",
        "Multinomial",
    }
)
# Attributes that tie an operation to its place in the original graph.
_PLACEMENT_ATTRIBUTES = frozenset({"_class", "_output_shapes", "_xla_inferred_shapes"})

_REMEDY = (
    "Train with `model.fit`, `train_on_batch` or inside one `tf.function` that "
    "computes the gradients and applies them, or use "
    "`optimizer.minimize(loss_fn, variables)`."
)


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
        for tensor in [*gradients, loss]:
            if isinstance(tensor, tf.__internal__.EagerTensor):
                raise ValueError(
                    "The gradients must be part of a traced step, for FuzzyHess "
                    "takes them again at shifted weights. Received: an eager "
                    f"tensor of shape {tensor.shape}. {_REMEDY}"
                )
        self._graph = gradients[0].graph
        if any(t.graph is not self._graph for t in [*gradients, loss]):
            raise ValueError(
                "The loss and all gradients must come from one traced function. "
                f"Received: tensors of several graphs. {_REMEDY}"
            )
        self._gradients = list(gradients)
        self._loss = loss
        self._handles = [self._graph.capture(v.handle) for v in variables]
        self._path = self._find_path([*gradients, loss], variables)
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
        # Reading after the gradients are known keeps the order
        # "gradients, shift, replay, restore" also where no one else ensures it.
        with tf.control_dependencies(
            [self._loss, *self._gradients] if graph is self._graph else []
        ):
            kept = {
                handle.ref(): tf.raw_ops.ReadVariableOp(
                    resource=handle, dtype=shift.dtype
                )
                for handle, shift in zip(self._handles, shifts, strict=True)
            }
        shifted = {
            handle.ref(): kept[handle.ref()] + shift
            for handle, shift in zip(self._handles, shifts, strict=True)
        }
        shift_all = _assign({h: shifted[h] for h in self._indirect})
        clones, readers = self._clone_path(graph, shifted, shift_all)
        with tf.control_dependencies(readers):
            restore_all = _assign({h: kept[h] for h in self._indirect})
        with tf.control_dependencies([restore_all]):
            outputs = [
                tf.identity(clones.get(t.ref(), t))
                for t in [*self._gradients, self._loss]
            ]
        return outputs[:-1], outputs[-1]

    def _find_path(
        self, targets: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> list[tf.Operation]:
        """The operations between the weights and the targets, in graph order."""
        ancestors = _ancestors(targets)
        self._refuse_hidden(ancestors, variables)
        weights = {handle.ref() for handle in self._handles}
        reached = set(weights)
        path = []
        for op in self._graph.get_operations():
            if op not in ancestors or op.type in _NOISE:
                continue
            if any(tensor.ref() in reached for tensor in op.inputs):
                self._refuse_side_effects(op)
                path.append(op)
                reached.update(tensor.ref() for tensor in op.outputs)
        if not any(gradient.ref() in reached for gradient in self._gradients):
            raise ValueError(
                "At least one gradient must depend on the weights, for their change "
                "is what FuzzyHess measures. Received: gradients of "
                f"{[v.name for v in variables]} in whose graph no weight is read "
                "(a loss that is linear in the weights, or gradients made by "
                f"Python code such as `tf.py_function`). {_REMEDY}"
            )
        return path

    def _refuse_hidden(
        self, ancestors: set[tf.Operation], variables: Sequence[tf.Variable]
    ) -> None:
        """Refuses gradients that depend on the weights outside this graph."""
        for outer, inner in self._graph.captures:
            if inner.op not in ancestors or isinstance(
                outer, tf.__internal__.EagerTensor
            ):
                continue
            if outer.dtype == tf.resource:
                continue
            outer_handles = {outer.graph.capture(v.handle).op for v in variables}
            if not outer_handles.isdisjoint(_ancestors([outer])):
                raise ValueError(
                    "The gradients must be computed in the function that applies "
                    "them. Received: a gradient that was computed outside and "
                    f"captured (`{outer.name}`), as happens when a loss-scaling "
                    "wrapper (`mixed_float16`) or a `tf.cond` stands between. "
                    "Under mixed precision use the policy 'mixed_bfloat16'; "
                    f"otherwise: {_REMEDY}"
                )

    def _refuse_side_effects(self, op: tf.Operation) -> None:
        for inner in _stateful_operations(op):
            if inner not in _READERS:
                raise ValueError(
                    "A step that FuzzyHess takes again at shifted weights must not "
                    "change state on the way from the weights to the gradients. "
                    f"Received: operation `{op.name}`, which runs `{inner}`. If "
                    "this is a layer or a loss decorated with `@tf.function`, "
                    "remove the decorator: the training step is compiled anyway."
                )

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

    def _clone_path(
        self, graph: tf.Graph, shifted: dict, shift_all: tf.Operation
    ) -> tuple[dict, list[tf.Operation]]:
        """Clones the path; returns the clones of its tensors and what reads weights."""
        clones: dict = {}
        readers: list[tf.Operation] = []
        for op in self._path:
            handle = op.inputs[0].ref()
            if op.type == "ReadVariableOp" and handle in shifted:
                outputs: Iterable[tf.Tensor] = [shifted[handle]]
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
                clone = _clone(op, graph, clones, [shift_all] if reads else [])
                outputs = clone.outputs
                if reads:
                    readers.append(clone)
            for original, new in zip(op.outputs, outputs, strict=True):
                clones[original.ref()] = new
        return clones, readers


def _assign(values: dict) -> tf.Operation:
    return tf.group(
        *(
            tf.raw_ops.AssignVariableOp(resource=handle.deref(), value=value)
            for handle, value in values.items()
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


def _ancestors(tensors: Iterable[tf.Tensor]) -> set[tf.Operation]:
    """All operations that the tensors depend on through data."""
    found: set[tf.Operation] = set()
    stack = [tensor.op for tensor in tensors]
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            stack.extend(tensor.op for tensor in op.inputs)
    return found


def _function_names(node: NodeDef) -> list[str]:
    """Names of the functions that an operation calls (loop bodies, branches)."""
    names = []
    for attribute in node.attr.values():
        names += [attribute.func.name] if attribute.HasField("func") else []
        names += [function.name for function in attribute.list.func]
    return names


def _stateful_operations(op: tf.Operation) -> set[str]:
    """Types of the stateful operations that running `op` executes."""
    names = _function_names(op.node_def)
    if not names:
        return {op.type} if op.op_def.is_stateful else set()
    library = {
        function.signature.name: function
        for function in op.graph.as_graph_def().library.function
    }
    found: set[str] = set()
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in library[name].node_def:
            inner = _function_names(node)
            if inner:
                names += inner
            elif node.op in library:
                names.append(node.op)
            elif op_def_registry.get(node.op).is_stateful:
                found.add(node.op)
    return found
