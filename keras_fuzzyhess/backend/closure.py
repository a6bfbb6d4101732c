"""Gradients of a loss function at shifted weights, in eager code.

The readable counterpart of the gradient replay, and the reference it is tested
against: shift the weights, call the loss function again, put the weights back.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.backend.minibatch import scalar_loss


class _RecordingScope(keras.StatelessScope):
    """Keeps what is assigned to Keras variables, without assigning it.

    Except to the weights in training: what a layer assigns to these (as
    `SpectralNormalization` does) is where the step begins, so it is done at once.

    Args:
        weights: List of TensorFlow's variables of the weights.
    """

    def __init__(self, weights: Sequence[tf.Variable]) -> None:
        super().__init__(collect_losses=True)  # else `add_loss` is lost
        self._weights = {id(weight) for weight in weights}
        self._graph = tf.compat.v1.get_default_graph()
        self.updates: dict = {}

    def add_update(self, update) -> None:
        variable, value = update
        if tf.is_symbolic_tensor(value) and value.graph is not self._graph:
            raise ValueError(
                "`loss_fn` must not assign Keras variables inside a `tf.function` when "
                "`minimize` is called in eager code, for it must call `loss_fn` again "
                "and change them once. Received: a `tf.function` that assigns "
                f"`{variable.path}`. Call the model in it without `tf.function`, or "
                "decorate the whole training step, in which `minimize` is called."
            )
        if id(variable._value) in self._weights:
            variable._value.assign(value)
            return
        self.updates[id(variable)] = (variable, value)
        super().add_update(update)

    def get_current_value(self, variable):
        """What was assigned in this scope, else what the variable has.

        Regularizers ask for it, and take no `None`.
        """
        value = super().get_current_value(variable)
        # Not `variable.value`, which asks here; None while it is not initialized.
        return variable._value if value is None else value


class ClosureGradients:
    """Evaluates a loss function and its gradients at `w` and at `w + shift`.

    Every call sees the state of Keras variables (BatchNorm's statistics, the seeds of
    dropout) as it was at the start, so all calls see the same noise; what the call at
    `w` changed is applied once, by `commit`.

    Args:
        loss_fn: Callable without arguments that returns the scalar loss. The model in
            it must be built. Other side effects than assigning Keras variables happen
            at every call.
        variables: List of `tf.Variable`s to differentiate with respect to.
        scale: Positive float, factor of the gradients but not of the loss: the
            `loss_scale_factor` of Keras's optimizers.

    Example:

    >>> w = tf.Variable([1.0, 2.0])
    >>> closure = ClosureGradients(lambda: tf.reduce_sum(w**3), [w])
    >>> gradients, loss = closure.at_weights()
    >>> gradients, loss = closure([tf.constant([1.0, 0.0])])
    >>> gradients[0].numpy().tolist(), float(loss)
    ([12.0, 12.0], 16.0)
    """

    def __init__(
        self,
        loss_fn: Callable[[], tf.Tensor],
        variables: Sequence[tf.Variable],
        scale: float = 1.0,
    ) -> None:
        self._loss_fn = loss_fn
        self._variables = list(variables)
        self._scale = scale
        self._updates: dict = {}

    def at_weights(self) -> tuple[list[tf.Tensor | None], tf.Tensor]:
        """Gradients (None where there is none) and loss at the weights as they are."""
        gradients, loss, self._updates = self._evaluate()
        return gradients, loss

    def __call__(
        self, shifts: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Gradients and loss at `w + shift`; the weights are put back to the bit."""
        kept = [tf.identity(v) for v in self._variables]
        try:
            for variable, shift in zip(self._variables, shifts, strict=True):
                variable.assign_add(shift)
            gradients, loss, _ = self._evaluate()
        finally:
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)
        return gradients, loss

    def commit(self) -> None:
        """Applies the state changes of the call at `w`."""
        for variable, value in self._updates.values():
            variable.assign(value)

    def _evaluate(self):
        with _RecordingScope(self._variables) as scope, tf.GradientTape() as tape:
            loss = scalar_loss(_checked(self._loss_fn()))
        gradients = [
            None if g is None else self._scale * tf.convert_to_tensor(g)
            for g in tape.gradient(loss, self._variables)
        ]
        return gradients, loss, scope.updates


def _checked(loss):
    if not tf.is_tensor(loss):
        raise ValueError(
            "`loss_fn` must return the loss as a tensor that is computed from the "
            f"weights. Received: {loss!r} of type {type(loss).__name__}. Return what "
            "TensorFlow or `keras.ops` computed, neither a number nor an array."
        )
    return loss


def refuse_noise(first: tf.Tensor, second: tf.Tensor) -> None:
    """Refuses a loss function whose calls at the same weights differ.

    Args:
        first: Scalar, the loss of one call.
        second: Scalar, the loss of another.

    Raises:
        ValueError: if they differ by more than rounding.

    Example:

    >>> refuse_noise(tf.constant(1.0), tf.constant(1.0 + 1e-6))
    """
    if abs(float(first - second)) > 1e-5 * abs(float(first)):
        raise ValueError(
            "`loss_fn` must give the same loss when it is called twice at the same "
            f"weights. Received: {float(first)}, then {float(second)}. If it draws "
            "noise, take that from Keras layers or a `keras.random.SeedGenerator`; "
            "draw the minibatch outside of `loss_fn`; if a layer in it assigns a "
            "`tf.Variable`, as a counter, make that with `self.add_weight(trainable="
            "False)`, without a `tf.function` of the layer. Or decorate the whole "
            "training step, in which `minimize` is called, with `@tf.function`."
        )
