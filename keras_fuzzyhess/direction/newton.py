"""The momentum divided by the curvature, as in the paper."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_between, check_momentum
from keras_fuzzyhess.direction.direction import Course, Direction, MeasuredCurvature
from keras_fuzzyhess.parts import Step, move_unbiased
from keras_fuzzyhess.state.outer_product import dense
from keras_fuzzyhess.state.packing import PackedState


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Newton(Direction):
    """SALO's direction, `m / (|d| + epsilon)`.

    Args:
        beta_1: Float in [0, 1), momentum of the gradient. Defaults to `0.9`.
        epsilon: Float in [1e-8, 1e8] added to the curvature, in units of loss per
            squared weight. Defaults to `0.1`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: arXiv 2403.15416, its update; absolute value and `epsilon` are our choice.

    Example:

    >>> Newton(epsilon=1.0).get_config()
    {'beta_1': 0.9, 'epsilon': 1.0}
    """

    beta_1: float = 0.9
    epsilon: float = 0.1

    needs_curvature = True

    def __post_init__(self) -> None:
        self.beta_1 = check_momentum("beta_1", self.beta_1)
        self.epsilon = check_between("epsilon", self.epsilon, 1e-8, 1e8)

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the average of gradients."""
        self._momentum = PackedState(weights, add, "momentum")

    def __call__(
        self,
        gradients: list[tf.Tensor],
        curvature: MeasuredCurvature | None,
        step: Step,
    ) -> Course:
        """`m / (|d| + epsilon)`."""
        if curvature is None:
            raise ValueError("Newton's direction must be given curvature.")
        momentum = move_unbiased(self._momentum, gradients, self.beta_1, step)
        scales = curvature.scale(step.indices)
        vectors = [
            m / (dense(scale) + self.epsilon)
            for m, scale in zip(momentum, scales, strict=True)
        ]
        return Course(vectors, tf.constant(1.0))
