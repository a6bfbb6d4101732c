"""Gradients of a training step being traced, at shifted weights.

Keras hands an optimizer gradients, never the loss function. Inside a
`tf.function` those gradients are symbolic, and the graph that computes them is at
hand: `GradientReplay` clones the part of it that depends on the weights and
evaluates the clone at `w + shift`. Everything that does not depend on the weights
(the minibatch, dropout masks, augmentation) is shared with the original, and what
no gradient depends on (BatchNorm's moving statistics, metrics) is not repeated.

Graphs are known to this file, to those that it imports and to `traced_loss.py`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.backend import effects
from keras_fuzzyhess.backend.graph_path import find_path, outside, root
from keras_fuzzyhess.backend.python_code import check_python
from keras_fuzzyhess.backend.refusals import refuse_summed
from keras_fuzzyhess.backend.seen_values import SeenValues
from keras_fuzzyhess.backend.shifted_variables import ShiftedVariables
from keras_fuzzyhess.backend.summed_gradients import are_summed

# Attributes that tie an operation to its place in the original graph.
_PLACEMENT_ATTRIBUTES = frozenset(
    {"_class", "_output_shapes", "_tpu_replicate", "_xla_inferred_shapes"}
)

# What TensorFlow makes of powers in a step. In a branch that is called it does not, and
# there a power takes many times as long.
_POWERS: dict[float | None, Callable[..., tf.Tensor]] = {
    0.5: tf.sqrt,
    1.0: tf.identity,
    2.0: tf.square,
    3.0: lambda x, name: tf.multiply(x, tf.square(x), name=name),
}

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
        self._targets = [*gradients, loss]
        path = find_path(gradients, [loss], variables)
        for variable, summed in zip(
            variables, are_summed(gradients, path), strict=True
        ):
            if summed:
                refuse_summed(variable.name)
        self._path = path.operations
        self._weights = path.weights
        self._shapes = [v.shape for v in variables]
        self._seen = SeenValues(path)

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
        # Once the gradients are known, which keeps the order "gradients, shift, replay,
        # restore" also where no one else ensures it.
        after = [target.op for target in self._targets if target.graph is graph]
        shift_of = {
            weight.ref(): shift
            for weight, shift in zip(self._weights, shifts, strict=True)
        }
        shifted = ShiftedVariables(self._seen, self._resources_in(graph), shift_of)
        with tf.control_dependencies(after):
            shifted.read(self._path)
        clones = self._clone_path(graph, shifted)
        outputs = [
            clones.get(inside.ref(), target)
            for target, inside in ((t, _known(t, clones)) for t in self._targets)
        ]
        outputs = shifted.restored(outputs)
        for output, shape in zip(outputs, [*self._shapes, ()], strict=True):
            output.set_shape(shape)  # in a branch it is not inferred
        return outputs[:-1], outputs[-1]

    def _resources_in(self, graph: tf.Graph) -> dict:
        """What stands for each resource of the path in `graph`, a branch perhaps.

        A branch that updates a weight takes its resource from outside of all graphs.
        Were it to come in once more, through the step's graph, TensorFlow would take
        the branch for one that only reads it, and let what follows the step read the
        weight before the update.
        """
        inputs = [tensor for op in self._path for tensor in op.inputs]
        resources = {}
        for tensor in [*self._weights, *inputs]:
            if tensor.dtype == tf.resource:
                origin = root(tensor)
                is_symbolic = tf.is_symbolic_tensor(origin)
                resources[origin.ref()] = (
                    origin if is_symbolic else graph.capture(origin)
                )
        return resources

    def _clone_path(self, graph: tf.Graph, shifted: ShiftedVariables) -> dict:
        """Clones the path; returns the clones of its tensors by their originals."""
        clones = self._clone_constants(graph)
        clone_of: dict[tf.Operation, tf.Operation] = {}
        for op in self._path:
            inputs = [_clone_or_self(tensor, clones, shifted) for tensor in op.inputs]
            outputs = shifted.read_by(op, inputs)
            if outputs is None:
                # By control inputs a gradient waits with what it computes anew until it
                # is needed. Without them that is kept from the forward pass on.
                after = [clone_of[o] for o in op.control_inputs if o in clone_of]
                if effects.is_python(op):
                    # Behind the step's own call, for its gradient is kept by name.
                    known = [_here(target, graph).op for target in self._targets]
                    after += known + check_python(op, known)
                after += shifted.set_for(op)
                clone = clone_of[op] = _clone(op, inputs, graph, after)
                shifted.note_use(op, clone)
                outputs = list(clone.outputs)
            for original, new in zip(op.outputs, outputs, strict=True):
                if effects.is_python(op):  # of which users tell the shape
                    new.set_shape(original.shape)
                clones[original.ref()] = new
        return clones

    def _clone_constants(self, graph: tf.Graph) -> dict:
        """Clones of the small constants of the path, if `graph` is a branch.

        A gradient has thousands of them, shapes and axes, most of them equal. Each that
        a branch took from outside would cost several operations in every step.
        """
        clones, by_value = {}, {}
        for tensor in (tensor for op in self._path for tensor in op.inputs):
            if (
                tensor.graph is not graph
                and tensor.op.type == "Const"
                and tensor.shape.num_elements() <= SMALL
                and not tensor.op.control_inputs  # or TensorFlow would not wait
            ):
                value = tensor.op.node_def.attr["value"].SerializeToString()
                key = tensor.op.device, value
                if key not in by_value:
                    by_value[key] = _clone(tensor.op, [], graph, []).outputs[0]
                clones[tensor.ref()] = by_value[key]
        return clones


def _known(tensor: tf.Tensor, clones: dict) -> tf.Tensor:
    """The tensor, or what it was captured from, whichever has a clone."""
    inner: tf.Tensor | None = tensor
    while inner is not None and inner.ref() not in clones:
        inner = outside(inner)
    return tensor if inner is None else inner


def _here(tensor: tf.Tensor, graph: tf.Graph) -> tf.Tensor:
    return tensor if tensor.graph is graph else graph.capture(tensor)


def _clone_or_self(
    tensor: tf.Tensor, clones: dict, shifted: ShiftedVariables
) -> tf.Tensor:
    if tensor.dtype == tf.resource:
        return shifted.resource(tensor)
    return clones.get(_known(tensor, clones).ref(), tensor)


def _clone(
    op: tf.Operation,
    inputs: list[tf.Tensor],
    graph: tf.Graph,
    after: list[tf.Operation],
) -> tf.Operation:
    with tf.device(op.device or None), tf.control_dependencies(after):
        if power := _POWERS.get(_exponent(op)):
            return power(inputs[0], name=f"replay/{op.name}").op
        attributes = {
            name: value
            for name, value in op.node_def.attr.items()
            if name not in _PLACEMENT_ATTRIBUTES
        }
        return graph.create_op(
            op.type,
            inputs,
            dtypes=[tensor.dtype for tensor in op.outputs],
            name=f"replay/{op.name}",
            attrs=attributes,
            op_def=op.op_def,
        )


def _exponent(op: tf.Operation) -> float | None:
    """The exponent of a power, if it is one number that is known; None of others."""
    if op.type != "Pow" or op.inputs[1].shape.rank != 0:
        return None
    exponent = op.inputs[1]
    if exponent.op.type == "Sub":  # `y x**(y - 1)`, as a tape has it
        first, second = map(tf.get_static_value, exponent.op.inputs)
        known = first is not None and second is not None
        return float(first - second) if known else None
    value = tf.get_static_value(exponent)
    return None if value is None else float(value)
