"""The loss of a traced step that nobody has told the optimizer.

Keras's own `train_step` calls `optimizer.scale_loss`; training loops that people write,
those of Keras's guides among them, often do not. A `tf.GradientTape` marks what it adds
to a graph, so the loss can be seen there: it is what nothing but gradients is computed
from. Our choice.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.graph_path import find_path, root
from keras_fuzzyhess.minibatch import scalar_loss

_TAPE = "gradient_tape/"
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")


def find_loss(
    gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> tf.Tensor | None:
    """The scalar that gradients are the gradients of, if there is one beyond doubt.

    It was computed before the tape began to go back, depends on all that the tape goes
    back through, and nothing else but shapes was computed from it before. A tensor that
    is no scalar counts by its sum, as for a tape. Where all gradients were divided by
    one number in the end, as under loss scaling, the loss is divided as well.

    Args:
        gradients: List of symbolic dense tensors.
        variables: List of the weights.

    Returns:
        Scalar tensor, or None if there are none or several.

    Raises:
        ValueError: as `find_path` does.

    Example:

    >>> w = tf.Variable([3.0])
    >>> @tf.function
    ... def step():
    ...     with tf.GradientTape() as tape:
    ...         loss = tf.reduce_sum(w**2, name="squares")
    ...     print(find_loss([tape.gradient(loss, w)], [w]).op.name)
    >>> step()
    squares
    """
    path = find_path(gradients, [], variables).operations
    marked = [op for op in path if _is_of_tape(op)]
    if not marked or any(op.graph is not marked[0].graph for op in marked):
        return None
    operations = marked[0].graph.get_operations()
    place = {op: i for i, op in enumerate(operations)}
    marks = [place[op] for op in marked]
    losses = [
        tensor
        for tensor, used in _first_uses(operations, path).items()
        if _is_loss(tensor.deref(), used, path, marks, place)
    ]
    if len(losses) != 1:
        return None
    loss = scalar_loss(losses[0].deref())
    scale = _common_divisor(gradients)
    return loss if scale is None else loss / tf.cast(scale, loss.dtype)


def _is_of_tape(op: tf.Operation) -> bool:
    return f"/{_TAPE}" in f"/{op.name}"


def _first_uses(
    operations: Sequence[tf.Operation], path: Sequence[tf.Operation]
) -> dict:
    """By each tensor that depends on the weights the place of the first operation,
    other than those of a tape, that computes more from it."""
    reads = {op for op in path if any(t.dtype == tf.resource for t in op.inputs)}
    uses: dict = {}
    reached: set = set()
    for place, op in enumerate(operations):
        inputs = [tensor.ref() for tensor in op.inputs if tensor.ref() in reached]
        if op not in reads and (not inputs or op.type in _SHAPES):
            continue
        reached.update(tensor.ref() for tensor in op.outputs)
        if not _is_of_tape(op):
            for tensor in inputs:
                if tensor in uses:
                    uses[tensor] = min(place, uses[tensor])
            output = op.outputs[0] if op.outputs else None
            if output is not None and _may_be_loss(output):
                uses[output.ref()] = len(operations)
    return uses


def _may_be_loss(tensor: tf.Tensor) -> bool:
    """Not what the tape has kept for its way back, as further outputs and residuals."""
    is_kept = any(
        _is_of_tape(op) and op.type not in _SHAPES for op in tensor.consumers()
    )
    return tensor.dtype.is_floating and (tensor.shape.rank == 0 or not is_kept)


def _is_loss(
    tensor: tf.Tensor,
    used: int,
    path: Sequence[tf.Operation],
    marks: Sequence[int],
    place: dict,
) -> bool:
    if not any(place[tensor.op] < mark < used for mark in marks):
        return False
    before = {place[op] for op in _ancestors(tensor)}
    begin = min((mark for mark in marks if mark not in before), default=-1)
    if not place[tensor.op] < begin < used:
        return False
    # What is computed from its shape alone is where the tape begins.
    shapes, forward = {tensor.ref()}, []
    for op in path:
        if place.get(op, begin) >= begin:
            continue
        if shapes.isdisjoint(x.ref() for x in op.inputs):
            forward.append(place[op])
        else:
            shapes.update(x.ref() for x in op.outputs)
    return bool(forward) and before.issuperset(forward)


def _ancestors(tensor: tf.Tensor) -> set[tf.Operation]:
    found: set[tf.Operation] = set()
    stack = [tensor.op]
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(op)
            stack.extend(t.op for t in op.inputs)
    return found


def _common_divisor(gradients: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """The scalar that all gradients were divided by in the end, if there is one."""
    divisors = [
        g.op.inputs[1]
        for g in gradients
        if g.op.type == "RealDiv" and g.op.inputs[1].shape.rank == 0
    ]
    same = {_source(divisor).ref() for divisor in divisors}
    return divisors[0] if len(divisors) == len(gradients) and len(same) == 1 else None


def _source(tensor: tf.Tensor) -> tf.Tensor:
    """The variable that a scalar was read from, if it was."""
    while tensor.op.type in ("Cast", "Identity", "ReadVariableOp"):
        tensor = tensor.op.inputs[0]
    return root(tensor)
