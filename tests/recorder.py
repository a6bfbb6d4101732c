"""An optimizer that shows what the probes of a training measure."""

import tensorflow as tf

from keras_fuzzyhess.packing import Packing
from keras_fuzzyhess.second_gradient import SecondGradientOptimizer


class Recorder(SecondGradientOptimizer):
    """Sums the gradients at shifted weights over all steps, and moves nothing."""

    def __init__(self, shifts, **kwargs):
        super().__init__(learning_rate=1.0, **kwargs)
        self._shifts = shifts

    def build(self, variables):
        super().build(variables)
        self.sums = self.add_optimizer_variables(variables, "sum")

    def is_probe_step(self):
        return tf.greater_equal(self.iterations.value, 0)

    def shifts(self, gradients, variables):
        return Packing(variables).pack(self._shifts)

    def observe(self, probe, variables):
        shifted = Packing(variables).unpack(probe.shifted_gradients)
        for total, gradient in zip(self.sums, shifted, strict=True):
            total.assign_add(gradient)

    def step(self, gradients, variables, learning_rate):
        return [tf.zeros_like(g) for g in gradients], learning_rate
