"""A moving average of the weights beside an optimizer's steps, as Keras's own.

Overridden is what Keras's `use_ema` does not have: a momentum that grows, so that the
average has no bias towards the first weights and needs no horizon, and an average that
is kept for measuring even where the user does not want it in the end.
"""

import keras
import tensorflow as tf

from keras_fuzzyhess.averaged_weights import averaging_rate
from keras_fuzzyhess.packing import Packing


class WeightAveraging(keras.optimizers.Optimizer):
    """Keeps the average of the weights; `fit` ends with it unless `use_ema=False`."""

    def build(self, variables) -> None:
        """Creates the averages, one for each of `variables`."""
        super().build(variables)
        if not self.use_ema:  # else Keras has made them
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )

    def way_to_average(self, variables: list[tf.Variable]) -> list[tf.Tensor]:
        """From the weights to their average, packed."""
        averages = self._model_variables_moving_average
        return Packing(variables).pack(
            [averages[self._get_variable_index(v)].value - v for v in variables]
        )

    def finalize_variable_values(self, var_list) -> None:
        """Puts the averaged weights in place of the weights, as `fit` does at its end.

        Does nothing with `use_ema=False`, and before the first step, when there is no
        average.

        Args:
            var_list: List of the model's trainable variables.
        """
        if self.built and keras.ops.convert_to_numpy(self.iterations) > 0:
            super().finalize_variable_values(var_list)

    def _backend_apply_gradients(self, grads, trainable_variables) -> None:
        super()._backend_apply_gradients(grads, trainable_variables)
        if not self.use_ema:  # else Keras has done it
            self._update_model_variables_moving_average(self._trainable_variables)

    def _update_model_variables_moving_average(self, trainable_variables) -> None:
        rate = averaging_rate(self.iterations, self.ema_momentum)
        if self.gradient_accumulation_steps:
            accumulated = (self._iterations + 1) % self.gradient_accumulation_steps
            rate = tf.where(tf.equal(accumulated, 0), rate, 0.0)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            way = tf.convert_to_tensor(variable) - average.value
            average.assign(average.value + tf.cast(rate, way.dtype) * way)
