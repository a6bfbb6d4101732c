"""A Keras optimizer that can take the gradient of a step a second time.

Everything here is plumbing between Keras and the algorithm: where the loss and the
second gradient come from, in `fit`, in a custom loop or in eager code. What is measured
and what is done with it is in `optimizer.py`.
"""

import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess import refusals
from keras_fuzzyhess.arguments import check_precision
from keras_fuzzyhess.closure import ClosureGradients, refuse_noise
from keras_fuzzyhess.finite_steps import FiniteStepOptimizer, is_finite_step
from keras_fuzzyhess.graph_path import is_around
from keras_fuzzyhess.in_place import subtract_multiple
from keras_fuzzyhess.minibatch import (
    GradientsAt,
    Minibatch,
    PendingStep,
    Probe,
    dense_gradients,
    scalar_loss,
    sum_of_losses,
)
from keras_fuzzyhess.outside_functions import outside_functions
from keras_fuzzyhess.packing import Packing, native_variable
from keras_fuzzyhess.replay import GradientReplay
from keras_fuzzyhess.replicas import (
    cond_in_every_replica,
    refuse_meeting_in_own_branch,
)
from keras_fuzzyhess.step_length import root_mean_square
from keras_fuzzyhess.traced_loss import find_loss


class SecondGradientOptimizer(FiniteStepOptimizer):
    """Base of optimizers that measure with gradients at shifted weights.

    A subclass implements `is_probe_step`, `shifts`, `observe` and `step`. Gradients and
    shifts that it is given and gives are joined to fewer vectors (`packing.py`).

    Args:
        learning_rate: Float, schedule or callable, as in `keras.optimizers.Optimizer`.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate: float, **kwargs) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self._pending = PendingStep()
        self._warn_of_eager_code = refusals.EagerCodeWarning()

    # What a subclass implements.

    def is_probe_step(self) -> tf.Tensor | bool:
        """Whether this step takes a second gradient."""
        raise NotImplementedError

    def shifts(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable]
    ) -> list[tf.Tensor]:
        """From the weights to where this step takes its second gradient."""
        raise NotImplementedError

    def observe(self, probe: Probe, variables: list[tf.Variable]) -> None:
        """Keeps in the state what a second gradient tells."""
        raise NotImplementedError

    def step(
        self,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Direction and length, to subtract their product; of summed gradients."""
        raise NotImplementedError

    # What users and Keras call.

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Takes note of the loss and scales it by `loss_scale_factor`, if given.

        `fit` calls it. A training loop of your own calls it inside the tape; without,
        the optimizer looks for the loss in the traced step (`traced_loss.py`). The
        losses of several calls before one step count as their sum, so multiply losses
        by their weights, not gradients.

        Args:
            loss: Scalar tensor.

        Returns:
            Scalar tensor.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> @tf.function
        ... def train_step():
        ...     with tf.GradientTape() as tape:
        ...         loss = optimizer.scale_loss(tf.reduce_sum(w**2))
        ...     optimizer.apply(tape.gradient(loss, [w]), [w])
        >>> train_step()
        >>> float(tf.reduce_sum(w**2)) < 34.0
        True
        """
        self._pending.tell(loss)
        return super().scale_loss(loss)

    def minimize(
        self, loss_fn: Callable[[], tf.Tensor], variables: Sequence[tf.Variable]
    ) -> tf.Tensor:
        """Takes one step on the loss that `loss_fn` computes.

        In eager code the second gradient is taken by calling `loss_fn` again at shifted
        weights; layers of Keras repeat their noise, and their state moves once. Inside
        `tf.function` the traced gradients are replayed as in `fit`.

        Args:
            loss_fn: Callable without arguments that returns the scalar loss. The model
                in it must be built.
            variables: List of the weights to train.

        Returns:
            The loss before the step.

        Raises:
            ValueError: in eager code, if the first two calls of `loss_fn` differ by
                more than rounding (noise from elsewhere than Keras's seeds).

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> for _ in range(60):
        ...     loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        >>> float(loss) < 1.0
        True
        """
        variables = list(variables)
        if not tf.executing_eagerly():
            with tf.GradientTape() as tape:
                loss = loss_fn()
                scaled = self.scale_loss(loss)
            self.apply(tape.gradient(scaled, variables), variables)
            return loss
        closure = self._closure_gradients(loss_fn, variables)
        gradients, loss = closure.at_weights()
        if not self.built:
            refuse_noise(loss, closure.at_weights()[1])
        self._pending.losses, self._pending.loss_fn = [loss], loss_fn
        self.apply(gradients, variables)
        if int(self._skipped_in_a_row.numpy()) == 0:
            closure.commit()
        self.warn_of_skipped_steps()
        return loss

    @tf.autograph.experimental.do_not_convert  # to look for what to convert takes long
    def apply(self, grads, trainable_variables=None) -> None:
        """Updates the weights, as in `keras.optimizers.Optimizer`.

        If the loss or a gradient is not finite, it counts the step and does no more.

        In eager code, where it cannot be seen how the gradients were computed, the step
        is taken without probes, and a warning says so once.

        Args:
            grads: List of gradients, as a rule tensors of the function being traced.
            trainable_variables: List of weights; may be left out once built.

        Raises:
            ValueError: if there are not as many gradients as weights or one has not
                its weight's shape, if the loss is neither given nor found, if the
                gradients cannot be taken again (`refusals.py`), or under
                `MirroredStrategy` or `MultiWorkerMirroredStrategy` with
                `gradient_accumulation_steps` or `ema_overwrite_frequency`.
        """
        try:
            if not grads:  # as in Keras
                return
            refuse_meeting_in_own_branch(
                gradient_accumulation_steps=self.gradient_accumulation_steps,
                ema_overwrite_frequency=self.use_ema and self.ema_overwrite_frequency,
            )
            if trainable_variables is None:
                trainable_variables = self._trainable_variables
            variables = list(trainable_variables)
            grads = dense_gradients(grads, variables)
            self._apply_if_finite(grads, variables)
        finally:
            self._pending.clear()

    def build(self, variables) -> None:
        """Creates the optimizer's variables, one set for each of `variables`.

        Raises:
            ValueError: if a weight is stored in less than 32 bits.
        """
        check_precision(type(self).__name__, self.stepped(variables))
        super().build(variables)

    def stepped(self, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Without those that Keras overwrites with their gradients: float8's scales."""
        return [v for v in variables if not self._overwrite_variable_with_gradient(v)]

    # How Keras's own steps are filled in.

    def _apply_if_finite(self, grads, trainable_variables) -> None:
        # Keras's own `apply` is called in a branch, so that all it does is skipped, and
        # the gradients out here are still those of the minibatch, which a probe needs.
        if not self.built:  # a branch cannot create variables
            with outside_functions():
                self.build(trainable_variables)
        self._check_variables_are_known(trainable_variables)
        grads, trainable_variables = self._filter_empty_gradients(
            grads, trainable_variables
        )
        stepped = self.stepped(trainable_variables)
        pairs = list(zip(grads, trainable_variables, strict=True))
        left = [p for p in pairs if self._overwrite_variable_with_gradient(p[1])]
        grads = [g for g, v in pairs if not self._overwrite_variable_with_gradient(v)]
        variables = [native_variable(v) for v in stepped]
        loss, replay = self._measurable(grads, variables)
        minibatch = Minibatch(grads, loss, variables, self.loss_scale_factor)
        finite = is_finite_step(minibatch.loss, minibatch.packed)
        if replay is not None:
            self._probe_if_due(minibatch, replay, variables, finite)
        self.take_or_skip(
            finite,
            functools.partial(
                super().apply,
                [*minibatch.gradients, *(g for g, _ in left)],
                [*stepped, *(v for _, v in left)],
            ),
        )

    def _measurable(
        self, grads: list[tf.Tensor], variables: list[tf.Variable]
    ) -> tuple[tf.Tensor, GradientsAt | None]:
        """The loss, as far as it is known, and how to take the gradients again."""
        losses, loss_fn = self._pending.losses, self._pending.loss_fn
        if loss_fn is not None:
            return losses[0], self._closure_gradients(loss_fn, variables)
        if tf.executing_eagerly():
            has_other_steps = self.is_probe_step() is not True
            self._warn_of_eager_code(type(self).__name__, has_other_steps)
            known = [loss for loss in losses if not tf.is_symbolic_tensor(loss)]
            return scalar_loss(known[0]) if known else tf.zeros(()), None
        told = [x for x in losses if is_around(x)]  # not left over from elsewhere
        loss = told[0] if len(told) == 1 else find_loss(grads, variables)
        loss = sum_of_losses(told if loss is None else [loss])
        if loss is None:
            refusals.refuse_unknown_loss(type(self).__name__, bool(losses))
        return loss, GradientReplay(grads, loss, variables)

    def _closure_gradients(self, loss_fn, variables) -> ClosureGradients:
        # Scaled as those of a traced step, which `apply` is going to divide.
        scale = self.loss_scale_factor or 1.0
        return ClosureGradients(loss_fn, [native_variable(v) for v in variables], scale)

    def _probe_if_due(self, minibatch: Minibatch, replay, variables, finite) -> None:
        due = self.is_probe_step()
        if self.gradient_accumulation_steps:
            steps = self.gradient_accumulation_steps
            due = due & tf.equal((self._iterations.value + 1) % steps, 0)

        def take() -> Probe:
            return minibatch.probe(replay, lambda g: self.shifts(g, variables))

        # A probe in every step is taken outside of the branch, in which XLA on a CPU
        # computes gradients of convolutions many times more slowly.
        taken = take() if due is True else None
        cond_in_every_replica(
            finite & due,
            lambda: self.observe(taken or take(), variables),
            lambda: None,
        )

    def _backend_update_step(self, grads, trainable_variables, learning_rate) -> None:
        # Overridden because an update needs means over all weights, which Keras's
        # `update_step`, called with one variable at a time, cannot take. Every replica
        # computes the same update from the summed gradients and writes its own copy.
        variables = [native_variable(v) for v in trainable_variables]
        packing = Packing(variables)
        direction, length = self.step(
            packing.pack(grads), variables, tf.cast(learning_rate, tf.float32)
        )
        if self.weight_decay:
            size = length * root_mean_square(direction)
            decay = tf.minimum(self.weight_decay * size, 1.0)
            for variable in filter(self._use_weight_decay, variables):
                subtract_multiple(variable, decay, tf.convert_to_tensor(variable))
        for variable, u in zip(variables, packing.unpack(direction), strict=True):
            subtract_multiple(variable, length, u)

    def _apply_weight_decay(self, variables) -> None:
        """Does nothing: the decay is scaled by the step, which is not known yet."""
