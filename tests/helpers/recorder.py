"""An optimizer that shows what the probes of a training measure."""

import tensorflow as tf

from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer
from keras_fuzzyhess.state.packing import Packing


class _Recording:
    """Acts as an algorithm and its probes: sums gradients at given shifts."""

    draws_signs = False

    def __init__(self, shifts):
        self._shifts = shifts
        self.probes = self

    def build(self, weights, add):
        self._packing = Packing(weights)
        self.sums = [add(v.shape, "zeros", v.dtype, name="sum") for v in weights]

    def are_due(self, step):
        return tf.greater_equal(step, 0)

    def shifts(self, gradients, step, seed, way_to_average):
        return self._packing.pack(self._shifts)

    def observe(self, probe, step, tells, keep_or_drop):
        shifted = self._packing.unpack(probe.shifted_gradients)
        for total, gradient in zip(self.sums, shifted, strict=True):
            total.assign_add(gradient)

    def watch(self, loss):
        pass

    def update(self, gradients, step, learning_rate, hold):
        return [tf.zeros_like(g) for g in gradients], learning_rate


class Recorder(SecondGradientOptimizer):
    """Sums the gradients at shifted weights over all steps, and moves nothing."""

    def __init__(self, shifts):
        super().__init__(learning_rate=1.0)
        self.algorithm = _Recording(shifts)

    @property
    def sums(self):
        return self.algorithm.sums
