"""AdaHessian and Sophia-H, after their papers, for comparison only.

Both take Hutchinson samples `z * (H z)` of the Hessian's diagonal from an exact
Hessian-vector product, which the runner computes for them. It counts as one gradient
evaluation, which favours them: it takes the time of about two.
"""

import keras
from keras import ops


class HessianOptimizer(keras.optimizers.Optimizer):
    """Base of optimizers that are given samples of the Hessian's diagonal.

    Args:
        learning_rate: Float.
        hessian_interval: Integer, a sample is taken every so many steps.
        beta_1: Float, momentum of the gradient.
        beta_2: Float, momentum of the curvature.
    """

    def __init__(self, learning_rate, hessian_interval, beta_1, beta_2, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.hessian_interval = hessian_interval
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._curvatures = self.add_optimizer_variables(
            variables, ["momentum", "curvature"]
        )
        self._samples = self.add_variable((), dtype="int", name="samples")

    def hessian_due(self):
        """Whether this step takes a sample."""
        return ops.equal(self.iterations % self.hessian_interval, 0)

    def observe_hessian(self, samples):
        """Averages the samples, one for each variable."""
        for average, sample in zip(self._curvatures, samples, strict=True):
            value = self.statistic(sample)
            average.assign(average + (1 - self.beta_2) * (value - average))
        self._samples.assign_add(1)

    def statistic(self, sample):
        """What is averaged of a sample."""
        return sample

    @property
    def extra_gradient_evaluations(self):
        """Gradient evaluations beyond one a step, so far."""
        return self._samples.numpy()

    def _averages(self, gradient, variable):
        index = self._get_variable_index(variable)
        momentum = self._momentums[index]
        momentum.assign(momentum + (1 - self.beta_1) * (gradient - momentum))
        return momentum, self._curvatures[index]


class AdaHessian(HessianOptimizer):
    """Yao et al., arXiv 2006.00719: Adam with curvature in place of the gradient.

    Samples are averaged over the window of a convolution, as published.
    """

    def __init__(self, learning_rate=0.15, name="adahessian"):
        super().__init__(learning_rate, 1, 0.9, 0.999, name=name)

    def statistic(self, sample):
        window = tuple(range(len(sample.shape) - 2))
        if window:
            mean = ops.mean(ops.abs(sample), axis=window, keepdims=True)
            sample = ops.broadcast_to(mean, sample.shape)
        return sample**2

    def update_step(self, gradient, variable, learning_rate):
        momentum, curvature = self._averages(gradient, variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        scale = ops.sqrt(curvature / (1 - self.beta_2**step)) + 1e-4
        direction = momentum / (1 - self.beta_1**step) / scale
        self.assign_sub(variable, learning_rate * direction)


class Sophia(HessianOptimizer):
    """Liu et al., arXiv 2305.14342 (Sophia-H): clipped Newton steps."""

    def __init__(self, learning_rate=1e-3, name="sophia"):
        super().__init__(learning_rate, 10, 0.96, 0.99, name=name)

    def update_step(self, gradient, variable, learning_rate):
        momentum, curvature = self._averages(gradient, variable)
        newton = momentum / ops.maximum(0.01 * curvature, 1e-12)
        self.assign_sub(variable, learning_rate * ops.clip(newton, -1.0, 1.0))
