"""A fuzzy-controlled optimizer that averages the weights by Keras's own `use_ema`."""

import threading
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.averaged_weights import (
    AveragedLoss,
    averaged_loss_trend,
    averaging_rate,
    has_average,
    is_blind,
    observe_averaged_loss,
    tells_of_step_length,
)
from keras_fuzzyhess.fuzzy_controlled import FuzzyControlledOptimizer
from keras_fuzzyhess.in_place import move_average, overwrite
from keras_fuzzyhess.outside_functions import outside_functions
from keras_fuzzyhess.own_optimizers import OwnOptimizerWarning
from keras_fuzzyhess.packing import Packing, native_variable
from keras_fuzzyhess.replicas import cond_in_every_replica


class _Stepped(threading.local):
    """The weights that a step has changed, by key; replicas are threads."""

    keys: frozenset[str] = frozenset()


class WeightAveragingOptimizer(FuzzyControlledOptimizer):
    """Base of optimizers that measure at the moving average of the weights.

    The average is kept whatever `use_ema` is, for measurements need it; `use_ema` says
    whether it takes the place of the weights when `fit` ends. From there on it starts
    anew, so that weights which are set between two calls of `fit` stay as a start.
    Weights that are set on the way, by a callback or between two calls of
    `train_on_batch`, are taken as if a step had led to them: to notice them would
    cost every step a pass over the weights.

    Args:
        *args: Those of `FuzzyControlledOptimizer`.
        **kwargs: Those of `FuzzyControlledOptimizer`.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._stepped = _Stepped()
        self._ever_stepped: set[str] = set()
        self._warn_of_own_optimizer = OwnOptimizerWarning()
        self._had_no_weights = False

    def build(self, variables) -> None:
        """Creates the averages of `variables`, and of the losses there."""
        if self.built:
            return
        super().build(variables)
        if not self.use_ema:  # else Keras has made them
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )
        self._averaged_loss = [
            self.add_scalar(f"averaged_loss_{field}") for field in AveragedLoss._fields
        ]
        self._average_start = self._add_counter("average_start")

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """As Keras, but averages begin as the weights.

        Zeros before the first step would be shown by `SwapEMAWeights` in the place of
        the weights if all minibatches are skipped.
        """
        if name != "average":
            return super().add_optimizer_variables(
                trainable_variables, name, initializer
            )

        def weight_or_zeros(variable):
            def initializer(shape, dtype=None):
                if native_variable(variable).is_initialized():
                    return tf.convert_to_tensor(variable)
                # `fit` makes the weights of a model without input shape while it traces
                # the step that makes these, and gives them values after that.
                self._had_no_weights = True
                return tf.zeros(shape, dtype)

            return initializer

        averages = []
        # Weights are no constants that TensorFlow could lift out of a function.
        with outside_functions():
            for variable in trainable_variables:
                averages += super().add_optimizer_variables(
                    [variable], name, weight_or_zeros(variable)
                )
        return averages

    def start_average(
        self, variables: Sequence[tf.Variable], weights: Sequence[tf.Tensor]
    ) -> None:
        """Sets the averages of `variables` to `weights`.

        Those that they were built with may have been replaced since, by loaded ones.
        """
        for variable, values in zip(variables, weights, strict=True):
            if (average := self._average_of(variable)) is not None:
                overwrite(average, values)

    def way_to_average(self, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """From the weights to their average, packed."""
        averages = [self._average_of(v) for v in variables]
        return Packing(variables).pack(
            [
                tf.zeros_like(v) if average is None else average - v
                for v, average in zip(variables, averages, strict=True)
            ]
        )

    def average_loss(self, loss: tf.Tensor, averaged_loss: tf.Tensor) -> None:
        """Keeps what a probe found: the loss at the weights and at their average."""
        before = self._read_averaged_loss()
        statistics = observe_averaged_loss(
            before,
            tf.cast(loss, tf.float32),
            tf.cast(averaged_loss, tf.float32),
            self._gain.value,
        )
        tells = tells_of_step_length(self.iterations, self._average_start.value)

        def keep():
            for variable, new, old in zip(
                self._averaged_loss, statistics, before, strict=True
            ):
                variable.assign(tf.where(tells, new, old))

        self.keep_or_drop(tf.reduce_all(tf.math.is_finite(statistics)), keep)

    def loss_trend(self) -> tf.Tensor:
        """How the loss moves from the averaged weights to the weights."""
        return averaged_loss_trend(self._read_averaged_loss(), self._gain.value)

    def _read_averaged_loss(self) -> AveragedLoss:
        return AveragedLoss(*(v.value for v in self._averaged_loss))

    def _control(self) -> dict[str, tf.Tensor]:
        output = super()._control()
        if "gain_rate" in output:
            blind = is_blind(
                self.iterations, self._average_start.value, self._averaged_loss[0].value
            )
            output["gain_rate"] = tf.where(blind, 0.0, output["gain_rate"])
        return output

    def _average_of(self, variable: tf.Variable) -> tf.Variable | None:
        """None for weights that the optimizer does not know or does not average."""
        index = self._trainable_variables_indices.get(self._var_key(variable))
        average = None if index is None else self._model_variables_moving_average[index]
        return None if average is None else average.value

    def _apply_if_finite(self, grads, trainable_variables) -> None:
        if self.use_ema:
            self._warn_of_own_optimizer(self)
        variables = list(trainable_variables)
        super()._apply_if_finite(grads, variables)

        def start():
            self.start_average(variables, [tf.convert_to_tensor(v) for v in variables])

        if self._had_no_weights:
            # Even if this step was skipped, the averages must not be shown as zeros.
            cond_in_every_replica(tf.equal(self.iterations, 0), start, lambda: None)

    def _backend_apply_gradients(self, grads, trainable_variables) -> None:
        self._stepped.keys = frozenset(map(self._var_key, trainable_variables))
        self._ever_stepped |= self._stepped.keys
        super()._backend_apply_gradients(grads, trainable_variables)
        if not self.use_ema:  # else Keras has done it
            self._update_model_variables_moving_average(self._trainable_variables)

    def _update_model_variables_moving_average(self, trainable_variables) -> None:
        # Overridden for a momentum that grows, so that the average has no bias towards
        # the first weights and needs no horizon.
        rate = averaging_rate(
            self.iterations, self._average_start.value, self.ema_momentum
        )
        if self.gradient_accumulation_steps:
            accumulated = (self._iterations + 1) % self.gradient_accumulation_steps
            rate = tf.where(tf.equal(accumulated, 0), rate, 0.0)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is None:
                continue
            weight = tf.convert_to_tensor(variable)
            # Keras is going to constrain them after this.
            if self._var_key(variable) in self._stepped.keys:
                weight = constrained(variable, weight)
            move_average(average.value, weight, rate)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables
    ) -> None:
        # Overridden because Keras's pairs weights and averages in their order, which
        # goes wrong as soon as a layer is frozen after the optimizer was built. Weights
        # that it was not built with, or does not average, stay as they are.
        is_average = has_average(self.iterations, self._average_start.value)
        for variable in trainable_variables:
            if (average := self._average_of(variable)) is None:
                continue
            # A weight without gradients moves only if others set it, to stay there.
            if self._ever_stepped and self._var_key(variable) not in self._ever_stepped:
                continue

            def install(weight, average, variable=variable):
                # An average of weights on a sphere is not on it.
                value = constrained(variable, tf.convert_to_tensor(average))
                weight.assign(tf.where(is_average, value, weight))

            self._distribution_strategy.extended.update(
                native_variable(variable), install, args=(average,)
            )

    def finalized_by_a_callback(self) -> None:
        """Settles the warning that nobody is going to put the averages in."""
        self._warn_of_own_optimizer.settle()

    def averages(self, variable: keras.Variable) -> bool:
        """Whether it keeps an average of a weight."""
        return self.built and self._average_of(variable) is not None

    def install_averages(self, variables: Sequence[keras.Variable]) -> None:
        """Puts the averages in the place of the weights; the training may go on.

        Unlike `finalize_variable_values`, after which the average starts anew.
        """
        if self.built and self.use_ema:
            self._overwrite_model_variables_with_average_value(variables)

    def finalize_variable_values(self, var_list) -> None:
        super().finalize_variable_values(var_list)
        if self.built and self.use_ema:
            start = tf.cast(self.iterations, tf.int64)
            # The first step leaves its average where it came from, for the next one.
            start = tf.where(start > 1, start, 0)
            self._average_start.assign(tf.cast(start, self._average_start.dtype))


def constrained(variable: keras.Variable, value: tf.Tensor) -> tf.Tensor:
    """What the constraint of a weight, if it has one, makes of a value for it.

    Example:

    >>> weight = keras.Variable([1.0, -1.0])
    >>> weight.constraint = keras.constraints.NonNeg()
    >>> constrained(weight, tf.constant([-2.0, 3.0])).numpy().tolist()
    [0.0, 3.0]
    """
    if variable.constraint is None:
        return value
    return tf.cast(tf.convert_to_tensor(variable.constraint(value)), value.dtype)
