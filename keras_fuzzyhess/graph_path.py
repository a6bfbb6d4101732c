"""Which part of a traced graph lies between the weights and the gradients.

And whether that part can be seen whole and repeated without doing harm: everything
that could make a second evaluation measure something else is refused here.
"""

from collections.abc import Iterable, Sequence, Set

import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.python.framework import op_def_registry

_ASSIGNMENTS = frozenset(
    {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
)
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
_REMEDY = (
    "Train with `model.fit`, `train_on_batch` or inside one `tf.function` that "
    "computes the gradients and applies them, or use "
    "`optimizer.minimize(loss_fn, variables)`."
)


def find_path(
    gradients: Sequence[tf.Tensor],
    loss: tf.Tensor,
    variables: Sequence[tf.Variable],
) -> list[tf.Operation]:
    """The operations on the way from the weights to the gradients and the loss.

    Args:
        gradients: List of symbolic dense tensors.
        loss: Symbolic scalar tensor of the same graph.
        variables: List of the weights.

    Returns:
        List of operations in graph order, each of which depends on a weight and is
        needed for a gradient or the loss.

    Raises:
        ValueError: if the tensors are eager or of several graphs, if no gradient is
            seen to depend on a weight, if one depends on the weights outside of this
            graph or on other replicas' copies of them, if an operation on the way
            changes state, or if a weight is assigned after it was used.

    Example:

    >>> w, x = tf.Variable(3.0), tf.constant(2.0)
    >>> @tf.function
    ... def step():
    ...     y = tf.square(x)
    ...     loss = tf.exp(w * y)
    ...     print([op.type for op in find_path([loss * y], loss, [w])])
    >>> step()
    ['ReadVariableOp', 'Mul', 'Exp', 'Mul']
    """
    targets = [*gradients, loss]
    _refuse_eager(targets)
    graph = loss.graph
    if any(target.graph is not graph for target in targets):
        raise ValueError(
            "The loss and all gradients must come from one traced function. "
            f"Received: tensors of several graphs. {_REMEDY}"
        )
    captured = [graph.capture(v.handle) for v in variables]
    # On a TPU a handle is an operation whose inputs are the copies of all replicas.
    ancestors = _ancestors(targets, until={handle.op for handle in captured})
    _refuse_hidden(graph, ancestors, variables)
    handles = {handle.ref() for handle in captured}
    reached = set(handles)
    used: set = set()
    path = []
    for op in graph.get_operations():
        inputs = {tensor.ref() for tensor in op.inputs}
        if op.type in _ASSIGNMENTS and not used.isdisjoint(inputs):
            raise ValueError(
                "The weights must not change between their use and the optimizer's "
                f"step. Received: operation `{op.name}`, which assigns a weight after "
                "it was read. Assign it before the forward pass, or give the layer a "
                "`constraint`, which Keras applies after the step."
            )
        if op in ancestors and op.type not in _NOISE and not reached.isdisjoint(inputs):
            _refuse_side_effects(op)
            path.append(op)
            used.update(inputs & handles)
            reached.update(tensor.ref() for tensor in op.outputs)
    if not any(gradient.ref() in reached for gradient in gradients):
        raise ValueError(
            "At least one gradient must depend on the weights, for their change is "
            "what FuzzyHess measures. Received: gradients of "
            f"{[v.name for v in variables]} in whose graph no weight is read (a loss "
            "that is linear in the weights, or gradients made by Python code such as "
            f"`tf.py_function`). {_REMEDY}"
        )
    return path


def _refuse_eager(tensors: Iterable[tf.Tensor]) -> None:
    for tensor in tensors:
        if isinstance(tensor, tf.__internal__.EagerTensor):
            raise ValueError(
                "The gradients must be part of a traced step, for FuzzyHess takes them "
                "again at shifted weights. Received: an eager tensor of shape "
                f"{tensor.shape}. {_REMEDY}"
            )


def _refuse_hidden(
    graph: tf.Graph, ancestors: set[tf.Operation], variables: Sequence[tf.Variable]
) -> None:
    """Refuses gradients that depend on weights which the replay cannot shift."""
    for variable in variables:
        copies = {id(v.handle): v.handle for v in getattr(variable, "values", ())}
        copies.pop(id(variable.handle), None)
        if any(graph.capture(handle).op in ancestors for handle in copies.values()):
            raise ValueError(
                "The gradients of a replica must not depend on other replicas before "
                "they are summed. Received: a gradient that depends on another "
                f"replica's copy of `{variable.name}`, as it does through synchronized "
                "BatchNorm. Use `BatchNormalization(synchronized=False)`."
            )
    for outer, inner in graph.captures:
        if (
            inner.op not in ancestors
            or isinstance(outer, tf.__internal__.EagerTensor)
            or outer.dtype == tf.resource
        ):
            continue
        outer_handles = {outer.graph.capture(v.handle).op for v in variables}
        if not outer_handles.isdisjoint(_ancestors([outer])):
            raise ValueError(
                "The gradients must be computed in the function that applies them. "
                "Received: a gradient that was computed outside and captured "
                f"(`{outer.name}`), as happens when a loss-scaling wrapper "
                "(`mixed_float16`) or a `tf.cond` stands between. Under mixed "
                f"precision use the policy 'mixed_bfloat16'; otherwise: {_REMEDY}"
            )


def _refuse_side_effects(op: tf.Operation) -> None:
    for inner in _stateful_operations(op):
        if inner not in _READERS:
            raise ValueError(
                "A step that FuzzyHess takes again at shifted weights must not change "
                "state on the way from the weights to the gradients. Received: "
                f"operation `{op.name}`, which runs `{inner}`. If this is a layer or a "
                "loss decorated with `@tf.function`, remove the decorator: the "
                "training step is compiled anyway. If it sums over replicas, as "
                "synchronized BatchNorm does, use "
                "`BatchNormalization(synchronized=False)`."
            )


def _ancestors(
    tensors: Iterable[tf.Tensor], until: Set[tf.Operation] = frozenset()
) -> set[tf.Operation]:
    """All operations that the tensors depend on through data, or as far as `until`."""
    found: set[tf.Operation] = set()
    stack = [tensor.op for tensor in tensors]
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            if op not in until:
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
