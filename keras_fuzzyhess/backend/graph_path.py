"""Which part of a traced graph lies between the weights and the gradients.

And whether that part can be seen whole and repeated without doing harm: everything
that could make a second evaluation measure something else is refused here.

Gradients may have been computed in a graph around that in which they are applied: in
the step, say, and applied in a `tf.cond`, as Keras's `LossScaleOptimizer` does. What
leads from the weights to them then begins in one graph and ends in another.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

import tensorflow as tf

from keras_fuzzyhess.backend import effects, refusals

_BUFFER = "Empty"  # others write into it
_KNOWN = "_fuzzyhess_captures"


class Path(NamedTuple):
    """What must be repeated to evaluate gradients and loss at other weights.

    Attributes:
        operations: List of operations, those of outer graphs first, each graph's in
            the order in which they were made.
        graphs: List of the graphs, from the outermost to that of the step's end.
        weights: List of the resources of the weights, as `root` gives them.
    """

    operations: list[tf.Operation]
    graphs: list[tf.Graph]
    weights: list[tf.Tensor]


def find_path(
    gradients: Sequence[tf.Tensor],
    loss: Sequence[tf.Tensor],
    variables: Sequence[tf.Variable],
) -> Path:
    """The operations on the way from the weights to the gradients and the loss.

    Args:
        gradients: List of symbolic dense tensors.
        loss: List of the scalar tensor that they are the gradients of, or an empty
            list.
        variables: List of the weights.

    Returns:
        `Path`, of operations each of which depends on a weight and is needed for a
        gradient or the loss.

    Raises:
        ValueError: if the tensors are eager or of functions that are not inside each
            other, if nothing is seen to depend on a weight, if a gradient depends on
            other replicas' copies of them, or if an operation on the way cannot be
            repeated.

    Example:

    >>> w, x = tf.Variable(3.0), tf.constant(2.0)
    >>> @tf.function
    ... def step():
    ...     y = tf.square(x)
    ...     loss = tf.exp(w * y)
    ...     path = find_path([loss * y], [loss], [w])
    ...     print([op.type for op in path.operations])
    >>> step()
    ['ReadVariableOp', 'Mul', 'Exp', 'Mul']
    """
    targets = [*gradients, *loss]
    refusals.refuse_eager(targets)
    here = tf.compat.v1.get_default_graph()
    graphs = _around(here)
    refusals.refuse_unrelated(targets, graphs)
    handles = [here.capture(v.handle) for v in variables]
    weights = [root(handle) for handle in handles]
    # On a TPU a handle is an operation whose inputs are the copies of all replicas.
    ends = {weight.op for weight in _symbolic(weights)}
    found = ancestors([target.op for target in targets], until=ends)
    _refuse_replicas(here, found - ends, variables)
    reached = {weight.ref() for weight in weights}
    operations: list[tf.Operation] = []
    for graph in graphs:
        for outer, inner in _captures(graph):
            if outer.ref() in reached or root(inner).ref() in reached:
                reached.add(inner.ref())
        operations += _reached_operations(graph, found, reached)
    if not any(tensor.ref() in reached for tensor in targets):
        refusals.refuse_unknown(variables)
    return Path(operations, graphs, weights)


def is_around(tensor: tf.Tensor) -> bool:
    """Whether a tensor is of the function being traced, or of one around it.

    Example:

    >>> is_around(tf.constant(1.0))
    False
    """
    if not tf.is_symbolic_tensor(tensor):
        return False
    return tensor.graph in _around(tf.compat.v1.get_default_graph())


def root(tensor: tf.Tensor) -> tf.Tensor:
    """What a tensor stands for, if it is how a graph sees one from outside of it.

    Example:

    >>> w = tf.Variable(1.0)
    >>> with tf.Graph().as_default() as graph:
    ...     x = tf.constant(1.0)
    ...     root(x) is x
    True
    """
    outer = outside(tensor)
    while outer is not None:
        tensor, outer = outer, outside(outer)
    return tensor


def outside(tensor: tf.Tensor) -> tf.Tensor | None:
    """What a graph's input was captured from, or None if it was not.

    Example:

    >>> outside(tf.constant(1.0)) is None
    True
    """
    if not tf.is_symbolic_tensor(tensor) or tensor.op.type != "Placeholder":
        return None
    return _outside(tensor.graph).get(tensor.ref())


def _outside(graph: tf.Graph) -> dict:
    """Of each input of a graph what it was captured from."""
    captures = _captures(graph)
    known, outer_by_inner = getattr(graph, _KNOWN, (None, {}))
    if known is not captures:  # TensorFlow makes another list when it grows
        outer_by_inner = {inner.ref(): outer for outer, inner in captures}
        setattr(graph, _KNOWN, (captures, outer_by_inner))  # which dies with the graph
    return outer_by_inner


def _captures(graph: tf.Graph) -> list[tuple[tf.Tensor, tf.Tensor]]:
    return getattr(graph, "captures", [])


def _symbolic(tensors: Iterable[tf.Tensor]) -> list[tf.Tensor]:
    return [t for t in tensors if tf.is_symbolic_tensor(t)]


def _around(graph: tf.Graph) -> list[tf.Graph]:
    """The graph and those that it is in, the outermost first."""
    graphs = [graph]
    while getattr(graphs[0], "outer_graph", None) is not None:
        graphs.insert(0, graphs[0].outer_graph)
    return graphs


def ancestors(
    operations: Iterable[tf.Operation], until: Set[tf.Operation] = frozenset()
) -> set[tf.Operation]:
    """What operations depend on through data, or as far as `until`, and themselves.

    Args:
        operations: List of operations.
        until: Set of operations whose own inputs do not count.

    Returns:
        Set of operations, those of graphs around included.

    Example:

    >>> with tf.Graph().as_default():
    ...     x = tf.constant(1.0, name="x")
    ...     sorted(op.name for op in ancestors([tf.exp(x, name="y").op]))
    ['x', 'y']
    """
    found: set[tf.Operation] = set()
    stack = list(operations)
    while stack:
        op = stack.pop()
        if op in found:
            continue
        found.add(op)
        if op in until:
            continue
        stack.extend(tensor.op for tensor in op.inputs)
        outer = outside(op.outputs[0]) if op.type == "Placeholder" else None
        stack.extend(t.op for t in _symbolic([] if outer is None else [outer]))
    return found


def _reached_operations(
    graph: tf.Graph, needed: set[tf.Operation], reached: set
) -> list[tf.Operation]:
    """Those of a graph that depend on what is reached; adds their outputs to it."""
    operations = []
    for op in graph.get_operations():
        if op not in needed:
            continue
        if effects.draws_noise(op.type):
            refusals.refuse_noise_from_weights(op, reached)
        elif op.type == _BUFFER or any(tensor.ref() in reached for tensor in op.inputs):
            refusals.refuse_effects(op)
            operations.append(op)
            reached.update(tensor.ref() for tensor in op.outputs)
    return operations


def _refuse_replicas(
    here: tf.Graph, needed: set[tf.Operation], variables: Sequence[tf.Variable]
) -> None:
    """Refuses gradients that depend on weights of other replicas."""
    for variable in variables:
        copies = {id(v.handle): v.handle for v in getattr(variable, "values", ())}
        copies.pop(id(variable.handle), None)
        others = {root(here.capture(handle)).ref() for handle in copies.values()}
        if others and any(
            root(tensor).ref() in others
            for op in needed
            for tensor in op.inputs
            if tensor.dtype == tf.resource
        ):
            refusals.refuse_replica(variable)
