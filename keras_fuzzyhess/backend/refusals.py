"""What cannot be measured at shifted weights, and what to do about it in each case."""

import warnings
from collections.abc import Iterable, Sequence

import tensorflow as tf

from keras_fuzzyhess.backend import effects

TRACED = (
    "Train with `model.fit`, `train_on_batch` or inside one `tf.function` that "
    "computes the gradients and applies them, or use "
    "`optimizer.minimize(loss_fn, variables)`."
)


def place(op: tf.Operation) -> str:
    """An operation and the layer, loss or function that it is of, for messages.

    Example:

    >>> with tf.Graph().as_default(), tf.name_scope("mine"):
    ...     print(place(tf.constant(1.0, name="x").op))
    operation `mine/x` (`Const` of `mine`)
    """
    name = op.name.removeprefix("gradient_tape/")
    scope = name.rpartition("/")[0] or _called(op) or "the training step"
    return f"operation `{op.name}` (`{op.type}` of `{scope}`)"


def _called(op: tf.Operation) -> str:
    return op.node_def.attr["f"].func.name if "f" in op.node_def.attr else ""


def refuse_eager(tensors: Iterable[tf.Tensor]) -> None:
    """Refuses numbers, which do not show how they were computed.

    Raises:
        ValueError: if a tensor is one of eager code.

    Example:

    >>> refuse_eager([])
    """
    for tensor in tensors:
        if not tf.is_symbolic_tensor(tensor):
            raise ValueError(
                "The gradients must be part of a traced step, for FuzzyHess takes them "
                "again at shifted weights. Received: an eager tensor of shape "
                f"{tensor.shape}. {TRACED}"
            )


def refuse_unrelated(tensors: Iterable[tf.Tensor], graphs: Sequence[tf.Graph]) -> None:
    """Refuses tensors of functions that are not around the present one.

    Raises:
        ValueError: if there is one.

    Example:

    >>> refuse_unrelated([], [])
    """
    for tensor in tensors:
        if tensor.graph not in graphs:
            raise ValueError(
                "The loss and all gradients must come from the function that applies "
                f"them, or from one around it. Received: `{tensor.name}` of another. "
                f"{TRACED}"
            )


def refuse_replica(variable: tf.Variable) -> None:
    """Refuses a gradient that depends on another replica's copy of a weight.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "The gradients of a replica must not depend on other replicas before "
        "they are summed. Received: a gradient that depends on another "
        f"replica's copy of `{variable.name}`, as it does through synchronized "
        "BatchNorm. Use `BatchNormalization(synchronized=False)`."
    )


def refuse_effects(op: tf.Operation) -> None:
    """Refuses an operation that cannot be repeated.

    Raises:
        ValueError: if it, or a function that it runs, does what a second run would do
            differently or what must not be done twice.

    Example:

    >>> with tf.Graph().as_default():
    ...     refuse_effects(tf.constant(1.0).op)
    """
    inner = effects.cannot_repeat(op)
    if inner is None:
        return
    received = f"Received: {place(op)}, which runs `{inner}`."
    if effects.is_collective(inner):
        raise ValueError(
            "The gradients of a replica must not depend on other replicas before they "
            f"are summed. {received} If this is synchronized BatchNorm, use "
            "`BatchNormalization(synchronized=False)`."
        )
    if effects.draws_noise(inner):
        decorated = "PartitionedCall" in op.type
        undecorated = "remove the decorator `@tf.function` of the layer; or "
        raise ValueError(
            "Noise on the way from the weights to the gradients must be the same when "
            f"FuzzyHess takes them again. {received} In a loop, a branch or a function "
            "it would draw other noise. Draw it with `keras.random` and a "
            "`keras.random.SeedGenerator`, or with a `tf.random.Generator`, whose "
            f"state can be put back; {undecorated if decorated else 'or '}draw it "
            "outside and hand it in."
        )
    if "PyFunc" in inner:
        raise ValueError(
            "Python code on the way from the weights to the gradients must be seen to "
            f"give the same twice. {received} Call it outside of the loop, branch or "
            "function; or declare it with `tf.numpy_function(..., stateful=False)`, if "
            "it depends on its inputs alone."
        )
    if inner.startswith("CudnnRNN"):
        raise ValueError(
            "Noise on the way from the weights to the gradients must be the same when "
            f"FuzzyHess takes them again. {received} It draws its own dropout. Use the "
            "argument `dropout` of Keras's layer, or a `Dropout` layer."
        )
    raise ValueError(
        "A step that FuzzyHess takes again at shifted weights must not change "
        "anything but variables on the way from the weights to the gradients. "
        f"{received} It would do so twice, or do something else the second time. Move "
        "it out of the model, to the input pipeline or a callback; or keep what it "
        "changes in a `tf.Variable`, which is put back."
    )


def refuse_noise_from_weights(op: tf.Operation, reached: set) -> None:
    """Refuses noise that is differentiated through and cannot be repeated.

    All other noise is either shared by both evaluations or drawn from its seed again.

    Raises:
        ValueError: if it is such.

    Example:

    >>> with tf.Graph().as_default():
    ...     refuse_noise_from_weights(tf.constant(1.0).op, set())
    """
    if op.type == "RandomGamma" and op.inputs[1].ref() in reached:
        raise ValueError(
            "Noise whose distribution depends on the weights must be drawn from a "
            "seed, for FuzzyHess takes the gradients again with the same noise. "
            f"Received: {place(op)}, whose state cannot be put back. Use "
            "`tf.random.stateless_gamma` (of it are `keras.random.gamma` and "
            "`keras.random.beta`) with the seed of a `keras.random.SeedGenerator`."
        )


def refuse_changed_table(op: tf.Operation) -> None:
    """Refuses a look-up in a table that has changed since.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "What a step reads on the way from the weights to the gradients must still be "
        f"there when FuzzyHess takes them again. Received: {place(op)}, which looks "
        "into something that is no variable and that the step changes afterwards. "
        "Change it after the optimizer's step, or keep its contents in a `tf.Variable`."
    )


def refuse_summed(variable_name: str) -> None:
    """Refuses gradients that were summed over several steps by hand.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "The gradients must be those of one minibatch, for FuzzyHess takes them again "
        "at shifted weights. Received: for "
        f"`{variable_name}` a sum that a variable keeps from step to step, whose "
        "minibatches are gone. Apply the gradients of every minibatch, and let the "
        "optimizer sum them: `FuzzyHess(gradient_accumulation_steps=...)`."
    )


def refuse_unknown(variables: Sequence[tf.Variable]) -> None:
    """Refuses gradients of which it cannot be seen how they depend on the weights.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "It must be seen how the gradients depend on the weights, for their change is "
        "what FuzzyHess measures. Received: gradients of "
        f"{[v.name for v in variables]} in whose graph no weight is read: they are "
        "made by Python code such as `tf.py_function`, belong to other weights, or "
        "come from an earlier call. If the loss is linear in the weights, tell it: "
        f"`optimizer.scale_loss(loss)`. Else: {TRACED} To sum the gradients of several "
        "minibatches, apply each, with `FuzzyHess(gradient_accumulation_steps=...)`."
    )


def refuse_unknown_loss(optimizer: str, told_elsewhere: bool) -> None:
    """Refuses gradients of which nobody has told the loss, and none is seen.

    Args:
        optimizer: String, the name of its class.
        told_elsewhere: Bool, whether a loss was told in a function that has ended.

    Raises:
        ValueError: always.
    """
    if told_elsewhere:
        raise ValueError(
            f"{optimizer} must know the loss of a step where the gradients are applied."
            " Received: a loss that `scale_loss` was given inside another function, "
            "loop or branch, out of which it cannot be seen. Return the loss from "
            "there and call `optimizer.scale_loss(loss)` again beside `apply`, where "
            "its result is not needed."
        )
    raise ValueError(
        f"{optimizer} must know the loss of a step. Received: gradients without one, "
        "and no single tensor of the traced function is their loss beyond doubt. Call "
        "`loss = optimizer.scale_loss(loss)` inside the tape, before the gradients are "
        "computed. Of several losses, or of those of a Python loop, give their sum."
    )


def eager_code(optimizer: str) -> str:
    """What is said of gradients of eager code, with the switch that makes it eager.

    Example:

    >>> eager_code("FuzzyHess")[:52]
    'FuzzyHess was given gradients of eager code, which d'
    """
    if tf.config.functions_run_eagerly():
        remedy = "Take back `tf.config.run_functions_eagerly(True)`"
    else:
        remedy = (
            "Compile the model without `run_eagerly=True`, or compute and apply the "
            "gradients in one function that is decorated with `@tf.function`"
        )
    return (
        f"{optimizer} was given gradients of eager code, which do not show how they "
        f"were computed, so that it cannot take them again at shifted weights. "
        f"{remedy}; or call `optimizer.minimize(loss_fn, variables)`."
    )


class EagerCodeWarning:
    """Tells once what a training in eager code lacks; refuses if that is everything."""

    def __init__(self) -> None:
        self._is_due = True

    def __call__(self, optimizer: str, has_other_steps: bool) -> None:
        """Warns at the first call.

        Args:
            optimizer: String, the name of its class.
            has_other_steps: Bool, whether it can take a step without a second gradient.

        Raises:
            ValueError: if it cannot.
        """
        if not has_other_steps:
            raise ValueError(f"{eager_code(optimizer)} It takes one in every step.")
        if self._is_due:
            warnings.warn(
                f"{eager_code(optimizer)} Until then it trains without probes: "
                "after the first 20 steps nothing shortens or lengthens the steps but "
                "`learning_rate`.",
                stacklevel=2,
            )
        self._is_due = False
