"""Gradients that a training loop sums over several minibatches by itself."""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.backend import effects
from keras_fuzzyhess.backend.graph_path import Path, outside, root

_SUMS = frozenset(
    {"Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Identity", "Cast", "Reshape"}
)


def are_summed(gradients: Sequence[tf.Tensor], path: Path) -> list[bool]:
    """Whether each gradient has a term that a variable keeps from step to step.

    Such a variable is read by the gradient's last operations, sums and multiples, and
    the same step writes into it what depends on the weights.

    Args:
        gradients: List of symbolic tensors.
        path: That of all gradients.

    Returns:
        List of bools.

    Example:

    >>> from keras_fuzzyhess.backend.graph_path import find_path
    >>> w, total = tf.Variable([2.0]), tf.Variable([0.0])
    >>> @tf.function
    ... def step():
    ...     gradient = 2 * w
    ...     total.assign_add(gradient)
    ...     path = find_path([gradient], [], [w])
    ...     print(are_summed([gradient, total / 2.0], path))
    >>> step()
    [False, True]
    """
    kept = [_kept_terms(gradient, path) for gradient in gradients]
    written = _written_from_weights(path) if any(kept) else set()
    return [not terms.isdisjoint(written) for terms in kept]


def _kept_terms(gradient: tf.Tensor, path: Path) -> set:
    weights = {weight.ref() for weight in path.weights}
    terms, stack = set(), [gradient]
    while stack:
        tensor = stack.pop()
        if not tf.is_symbolic_tensor(tensor):  # a constant from outside
            continue
        outer = outside(tensor)
        if outer is not None:
            stack.append(outer)
        elif tensor.op.type == "ReadVariableOp":
            terms.add(root(tensor.op.inputs[0]).ref())
        elif tensor.op.type in _SUMS:
            stack += list(tensor.op.inputs)
    return terms - weights


def _written_from_weights(path: Path) -> set:
    reached = {weight.ref() for weight in path.weights}
    written = set()
    for graph in path.graphs:
        for op in graph.get_operations():
            if op.type == "Placeholder":
                if root(op.outputs[0]).ref() in reached or (
                    (outer := outside(op.outputs[0])) is not None
                    and outer.ref() in reached
                ):
                    reached.add(op.outputs[0].ref())
            elif any(tensor.ref() in reached for tensor in op.inputs):
                reached.update(tensor.ref() for tensor in op.outputs)
                written |= {
                    root(op.inputs[i]).ref() for i in effects.changed_inputs(op)
                }
    return written
