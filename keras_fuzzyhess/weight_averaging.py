"""A fuzzy-controlled optimizer that averages the weights by Keras's own `use_ema`."""

from collections.abc import Sequence

import tensorflow as tf

from keras_fuzzyhess.averaged_weights import (
    AveragedLoss,
    averaged_loss_trend,
    averaging_rate,
    observe_averaged_loss,
)
from keras_fuzzyhess.fuzzy_controlled import FuzzyControlledOptimizer
from keras_fuzzyhess.in_place import move_average, overwrite
from keras_fuzzyhess.packing import Packing, native_variable


class WeightAveragingOptimizer(FuzzyControlledOptimizer):
    """Base of optimizers that measure at the moving average of the weights.

    The average is kept whatever `use_ema` is, for measurements need it; `use_ema` says
    whether it takes the place of the weights when `fit` ends.

    Args:
        *args: Those of `FuzzyControlledOptimizer`.
        **kwargs: Those of `FuzzyControlledOptimizer`.
    """

    def build(self, variables) -> None:
        """Creates the averages of `variables`, and of the losses there."""
        if self.built:
            return
        super().build(variables)
        if not self.use_ema:  # else Keras has made them
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )
        # Zeros before the first step, as Keras has them, would be shown by its callback
        # `SwapEMAWeights` in the place of the weights if all minibatches are skipped.
        averages = self._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            if average is not None:
                average.assign(variable)
        self._averaged_loss = [
            self.add_scalar(f"averaged_loss_{field}") for field in AveragedLoss._fields
        ]

    def start_average(
        self, variables: Sequence[tf.Variable], weights: Sequence[tf.Tensor]
    ) -> None:
        """Sets the averages of `variables` to `weights`.

        Those that they were built with may have been replaced since, by loaded ones.
        """
        for variable, values in zip(variables, weights, strict=True):
            overwrite(self._average_of(variable), values)

    def way_to_average(self, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """From the weights to their average, packed."""
        return Packing(variables).pack([self._average_of(v) - v for v in variables])

    def average_loss(self, loss: tf.Tensor, averaged_loss: tf.Tensor) -> None:
        """Keeps what a probe found: the loss at the weights and at their average."""
        statistics = observe_averaged_loss(
            self._read_averaged_loss(),
            tf.cast(loss, tf.float32),
            tf.cast(averaged_loss, tf.float32),
            self._gain.value,
        )

        def keep():
            for variable, value in zip(self._averaged_loss, statistics, strict=True):
                variable.assign(value)

        self.keep_or_drop(tf.reduce_all(tf.math.is_finite(statistics)), keep)

    def loss_trend(self) -> tf.Tensor:
        """How the loss moves from the averaged weights to the weights."""
        return averaged_loss_trend(self._read_averaged_loss(), self._gain.value)

    def _read_averaged_loss(self) -> AveragedLoss:
        return AveragedLoss(*(v.value for v in self._averaged_loss))

    def _average_of(self, variable: tf.Variable) -> tf.Variable:
        index = self._get_variable_index(variable)
        return self._model_variables_moving_average[index].value

    def _backend_apply_gradients(self, grads, trainable_variables) -> None:
        super()._backend_apply_gradients(grads, trainable_variables)
        if not self.use_ema:  # else Keras has done it
            self._update_model_variables_moving_average(self._trainable_variables)

    def _update_model_variables_moving_average(self, trainable_variables) -> None:
        # Overridden for a momentum that grows, so that the average has no bias towards
        # the first weights and needs no horizon.
        rate = averaging_rate(self.iterations, self.ema_momentum)
        if self.gradient_accumulation_steps:
            accumulated = (self._iterations + 1) % self.gradient_accumulation_steps
            rate = tf.where(tf.equal(accumulated, 0), rate, 0.0)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is None:  # Keras overwrites the variable with its gradient
                continue
            move_average(average.value, tf.convert_to_tensor(variable), rate)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables
    ) -> None:
        # Overridden because Keras's pairs weights and averages in their order, which
        # goes wrong as soon as a layer is frozen after the optimizer was built. After a
        # single step the average is where that came from, which would undo it.
        is_average = self.iterations > 1
        for variable in self.stepped(trainable_variables):
            self._distribution_strategy.extended.update(
                native_variable(variable),
                lambda weight, average: weight.assign(
                    tf.where(is_average, average, weight)
                ),
                args=(self._average_of(variable),),
            )
