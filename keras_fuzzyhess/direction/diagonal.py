"""The momentum scaled by curvature and squares of gradients, element by element."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_between, check_momentum
from keras_fuzzyhess.direction.direction import Course, Direction, MeasuredCurvature
from keras_fuzzyhess.direction.eigenbases import Eigenbases
from keras_fuzzyhess.direction.oscillation import OscillationMemory
from keras_fuzzyhess.direction.preconditioner import (
    adam_scale,
    clipped,
    preconditioner,
    quasi_hyperbolic,
    scaled,
)
from keras_fuzzyhess.parts import Step, move_unbiased, named, unbiased_rate_at
from keras_fuzzyhess.state.mean_squares import MeanSquares, square_roots
from keras_fuzzyhess.state.packing import PackedState
from keras_fuzzyhess.state.vectors import dot, sum_of_squares


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Diagonal(Direction):
    """FuzzyHess's direction, between Newton's and Adam's.

    With all operations element by element:

    ```
    u = clip(((1 - y) m + y g) / D, 3 rms) ,   D = Newton**p Adam**(1-p) ,
    Newton = mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + 0.1) ,   Adam = sqrt(v)
    ```

    where `m` and `v` are bias-corrected averages of `g` and `g**2`, and `d` of the
    squared curvature samples. With `curvature_power=0` no curvature is probed, and it
    is Adam's direction but for a floor, `D = sqrt(v) + 0.001 mean(sqrt(v))`. With a
    `basis` all of them, but for the result, are in it; when it moves, `m` is turned
    along, and `v` and `d` stay. With a `memory`, `beta_1` is the least momentum of `m`,
    and `gradient_share` the largest `y` (`direction/oscillation.py`).

    Args:
        beta_1: Float in [0, 1), momentum of the gradient. Defaults to `0.9` (Adam's).
        beta_2: Float in [0, 1), momentum of the squared gradient. Defaults to `0.9`.
        curvature_power: Float in [0, 1], `p`. Defaults to `0.5`.
        gradient_share: Float in [0, 1), the share of this step's gradient beside the
            average of all before: quasi-hyperbolic momentum of Ma and Yarats, arXiv
            1810.06801, who recommend 0.3. A long average alone hears too late that the
            gradient has turned, a short one keeps the noise. Defaults to `0.2`.
        damping: Float of at least 0, multiple of the mean curvature that keeps flat
            directions bounded. Defaults to `0.1`.
        floor: Float of at least 0, the same for Adam's scale alone, without curvature:
            multiple of its mean that is added to it, so that where gradients are
            rounding alone no step of full length is made of it. Defaults to `1e-3`.
        epsilon: Positive float that keeps the scale positive where nothing has been
            measured. Defaults to `1e-8`, nearly Adam's.
        clip_factor: Positive float: no element exceeds so many root mean squares.
            Defaults to `3.0`.
        basis: `Eigenbases`, the bases of matrices, or None, the axes. Defaults to
            `None`.
        memory: `OscillationMemory`, which remembers gradients for longer where they
            oscillate, or None, always as long. Defaults to `OscillationMemory()`.

    Raises:
        ValueError: if a constant is out of its range.
        TypeError: if `basis` or `memory` is none of these.

    Source: our choice, but for the momentum. arXiv 2403.15416 divides by the curvature.

    Example:

    >>> Diagonal(curvature_power=0).needs_curvature, Diagonal().needs_curvature
    (False, True)
    """

    beta_1: float = 0.9
    beta_2: float = 0.9
    curvature_power: float = 0.5
    gradient_share: float = 0.2
    damping: float = 0.1
    floor: float = 1e-3
    epsilon: float = 1e-8
    clip_factor: float = 3.0
    basis: Eigenbases | None = None
    memory: OscillationMemory | None = dataclasses.field(
        default_factory=OscillationMemory
    )

    def __post_init__(self) -> None:
        self.beta_1 = check_momentum("beta_1", self.beta_1)
        self.beta_2 = check_momentum("beta_2", self.beta_2)
        self.gradient_share = check_momentum("gradient_share", self.gradient_share)
        for name, low, high in (
            ("curvature_power", 0, 1),
            ("damping", 0, 1e6),
            ("floor", 0, 1e6),
            ("epsilon", 1e-30, 1e6),
            ("clip_factor", 1e-6, 1e12),
        ):
            setattr(self, name, check_between(name, getattr(self, name), low, high))
        for name, kind in (("basis", Eigenbases), ("memory", OscillationMemory)):
            part = getattr(self, name)
            if not isinstance(part, kind | None):
                raise TypeError(
                    f"`{name}` must be a `keras_fuzzyhess.direction.{kind.__name__}` "
                    f"or None. Received: {part!r} of type {type(part).__name__}"
                )

    @property
    def needs_curvature(self) -> bool:  # type: ignore[override]
        """Whether there is a share of it."""
        return self.curvature_power > 0

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages of gradients and of their squares."""
        self._momentum = PackedState(weights, add, "momentum")
        self._velocity = MeanSquares(weights, add, "velocity")
        if self.basis is not None:
            self.basis.build(weights, named(add, "basis"))
        if self.memory is not None:
            self.memory.build(weights, named(add, "memory"))

    def __call__(
        self,
        gradients: list[tf.Tensor],
        curvature: MeasuredCurvature | None,
        step: Step,
    ) -> Course:
        """`u / (1 - y)`, so that one pass over all weights less is taken."""
        memory = self.memory
        if memory is not None and not memory.changes(self.beta_1):
            memory = None
        beta_1: tf.Tensor | float = self.beta_1
        share: tf.Tensor | float = self.gradient_share
        if memory is not None:
            beta_1, share = memory.momentum(self.beta_1, self.gradient_share)
        if self.basis is not None:
            self.basis.move(gradients, step, self._momentum)
            gradients = self.basis.into(gradients, step.indices)
        rate = unbiased_rate_at(beta_1, step)
        momentum = self._momentum.move(gradients, rate, step.indices)
        mixed = quasi_hyperbolic(momentum, gradients, share)
        velocity = move_unbiased(self._velocity, gradients, self.beta_2, step)
        roots = square_roots(velocity)
        if curvature is None:
            scales = adam_scale(roots, self.floor, self.epsilon)
        else:
            scales = preconditioner(
                curvature.scale(step.indices),
                curvature.mean,
                roots,
                self.curvature_power,
                self.damping,
                self.epsilon,
            )
        unclipped = scaled(mixed, scales)
        if memory is not None:
            relative = scaled(gradients, scales)
            # Of the momentum with the last gradient's share, less that share.
            agreement = dot(relative, unclipped) / sum_of_squares(relative)
            memory.observe(agreement - share / (1 - share), rate)
        vectors, size = clipped(unclipped, self.clip_factor)
        if self.basis is not None:
            vectors = self.basis.out_of(vectors, step.indices)
        return Course(vectors, size, 1 - share)
