"""The loss of a traced step that nobody has told the optimizer.

Keras's own `train_step` calls `optimizer.scale_loss`; training loops that people write,
those of Keras's guides among them, often do not. A `tf.GradientTape` marks what it adds
to a graph, so the loss can be seen there: it is what nothing but gradients is computed
from. Our choice.
"""

import re
from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.backend import effects
from keras_fuzzyhess.backend.graph_path import ancestors, find_path, root
from keras_fuzzyhess.backend.minibatch import scalar_loss

_ONES = re.compile(r"ones(_like)?(_\d+)?")  # as tapes name what they begin with
_SUMS = ("Add", "AddV2", "AddN", "Identity", "Cast", "Reshape", "Squeeze", "ExpandDims")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
# What hands a gradient on as it is, bounds it, or joins the slices of an embedding.
_SAME = (
    "Identity",
    "Cast",
    "Reshape",
    "UnsortedSegmentSum",
    "ClipByValue",
    "Minimum",
    "Maximum",
)
_CLIPPING = re.compile(r"(^|/)clip_by_(global_)?norm(_\d+)?(/|$)")
_SAMPLES = re.compile(r"(^|/)loop_body(_\d+)?/")  # `tape.jacobian` traces one of many


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
    path, _, weights = find_path(gradients, [], variables)
    marked = [op for op in path if effects.is_of_tape(op)]
    if not marked or any(op.graph is not marked[0].graph for op in marked):
        return None
    operations = marked[0].graph.get_operations()
    place = {op: i for i, op in enumerate(operations)}
    marks = [place[op] for op in marked]
    uses, reached = _first_uses(operations, weights)
    losses = [
        tensor.deref()
        for tensor, used in uses.items()
        if _is_loss(tensor.deref(), used, path, marks, place)
    ]
    if len(losses) != 1 or not all(_is_of_a_tape(gradient) for gradient in gradients):
        return None
    before = ancestors([losses[0].op])
    backward = {op for op in ancestors(marked) - before if effects.is_of_tape(op)}
    if not _is_begun_with(losses[0], before, backward):
        return None
    for op in before:
        inner = op.outputs[0] if op.outputs else None
        if (
            inner is not None
            and inner is not losses[0]
            and inner.ref() in uses
            and inner.shape.rank == 0
            and _is_loss(inner, len(operations), path, marks, place)
            and not _is_differentiated(before - ancestors([op]), reached, backward)
        ):
            return None
    loss = scalar_loss(losses[0])
    divisors = _divisors(gradients, set(path))
    is_of_all = len(divisors) in (0, len(gradients))
    if not is_of_all or len({_source(divisor) for divisor in divisors}) > 1:
        return None
    scale = divisors[0] if divisors else None
    return loss if scale is None else loss / tf.cast(scale, loss.dtype)


def _first_uses(
    operations: Sequence[tf.Operation], weights: Sequence[tf.Tensor]
) -> tuple[dict, set]:
    """By each tensor that depends on the weights the place of the first operation,
    other than those of a tape, that computes more from it; and all that depend."""
    handles = {weight.ref() for weight in weights}
    uses: dict = {}
    reached: set = set()
    for place, op in enumerate(operations):
        inputs = [tensor.ref() for tensor in op.inputs if tensor.ref() in reached]
        reads = any(
            tensor.dtype == tf.resource and root(tensor).ref() in handles
            for tensor in op.inputs
        )
        if not reads and (not inputs or op.type in _SHAPES):
            continue
        reached.update(tensor.ref() for tensor in op.outputs)
        if not effects.is_of_tape(op):
            for tensor in inputs:
                if tensor in uses:
                    uses[tensor] = min(place, uses[tensor])
            output = op.outputs[0] if op.outputs else None
            if output is not None and _may_be_loss(output):
                uses[output.ref()] = len(operations)
    return uses, reached


def _may_be_loss(tensor: tf.Tensor) -> bool:
    """Not what the tape has kept for its way back, as further outputs and residuals."""
    is_kept = any(
        effects.is_of_tape(op) and op.type not in _SHAPES for op in tensor.consumers()
    )
    is_of_a_sample = _SAMPLES.search(tensor.op.name)
    return (
        tensor.dtype.is_floating
        and (tensor.shape.rank == 0 or not is_kept)
        and not is_of_a_sample
    )


def _is_loss(
    tensor: tf.Tensor,
    used: int,
    path: Sequence[tf.Operation],
    marks: Sequence[int],
    place: dict,
) -> bool:
    if not any(place[tensor.op] < mark < used for mark in marks):
        return False
    before = {place[op] for op in ancestors([tensor.op]) if op in place}
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


def _is_begun_with(
    loss: tf.Tensor, before: set[tf.Operation], backward: set[tf.Operation]
) -> bool:
    """Whether a tape has begun with ones for this tensor, and for no other.

    Args:
        loss: The tensor.
        before: What it is computed by.
        backward: What tapes have added, but for what it is computed by.
    """
    ones = {
        tensor.op
        for op in backward
        for tensor in op.inputs
        if _ONES.fullmatch(tensor.op.name.rpartition("/")[2])
        and not effects.is_of_tape(tensor.op)
        and tensor.op not in before  # as those of a tape inside
    }
    if len(ones) != 1:
        return False
    (seed,) = ones
    if seed.type == "Fill" and seed.inputs[0].op.type == "Shape":
        return seed.inputs[0].op.inputs[0] is loss
    return seed.outputs[0].shape.as_list() == loss.shape.as_list()


def _is_differentiated(
    operations: set[tf.Operation], reached: set, backward: set[tf.Operation]
) -> bool:
    """Whether the tape has gone back through each of these operations of scalars.

    For most it needs their inputs or outputs. It does not for sums, and for a change of
    sign it changes a sign.
    """
    read = {tensor.ref() for op in backward for tensor in op.inputs}
    negates = any(op.type == "Neg" for op in backward)
    for op in operations:
        if not any(tensor.ref() in reached for tensor in op.inputs):
            continue
        if op.type in _SUMS:
            continue
        if op.type in ("Neg", "Sub"):
            if not negates:
                return False
        elif read.isdisjoint(tensor.ref() for tensor in [*op.inputs, *op.outputs]):
            return False
    return True


def _is_of_a_tape(gradient: tf.Tensor) -> bool:
    """Whether a gradient is as a tape has made it, but for clipping and a divisor.

    Turned round, weighted or added to, it is the gradient of another loss.
    """
    tensors = [gradient]
    while tensors:
        op = root(tensors.pop()).op
        if effects.is_of_tape(op):
            continue
        if op.type == "AddN":  # as a tape does it, if all are of a tape
            tensors.extend(op.inputs)
            continue
        if op.type == "RealDiv":
            divisor = tf.get_static_value(op.inputs[1])
            if divisor is not None and (divisor <= 0).any():
                return False
        elif op.type not in _SAME and not _CLIPPING.search(op.name):
            return False
        tensors.append(op.inputs[0])
    return True


def _divisors(
    gradients: Sequence[tf.Tensor], path: set[tf.Operation]
) -> list[tf.Tensor]:
    """The scalars that gradients were divided by in the end, as by a loss scale."""
    last = [_before_slices_are_joined(gradient).op for gradient in gradients]
    return [
        op.inputs[1]
        for op in last
        if op.type == "RealDiv"
        and not effects.is_of_tape(op)
        and op.inputs[1].shape.rank == 0
        and op.inputs[1].op not in path
    ]


def _before_slices_are_joined(gradient: tf.Tensor) -> tf.Tensor:
    """Of an embedding the slices, which were divided one by one; others as they are."""
    joins = ("UnsortedSegmentSum", "Reshape", "Cast", "Identity")
    tensor = gradient
    while tensor.op.type in joins and not effects.is_of_tape(tensor.op):
        tensor = tensor.op.inputs[0]
    return tensor if tensor.op.type == "RealDiv" else gradient


def _source(tensor: tf.Tensor):
    """The number, or the variable that it was read from, as something to compare."""
    value = tf.get_static_value(tensor)
    if value is not None:
        return float(value)
    while tensor.op.type in ("Cast", "Identity", "ReadVariableOp"):
        tensor = tensor.op.inputs[0]
    return root(tensor).ref()
