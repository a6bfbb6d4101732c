"""FuzzyHess: curvature and step length measured, their use driven by fuzzy rules."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_fuzzyhess import curvature, step_length
from keras_fuzzyhess.arguments import (
    check_argument,
    check_integer,
    check_momentum,
    is_number,
)
from keras_fuzzyhess.direction import newton_adam_direction
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.fuzzy_controlled import FuzzyControlledOptimizer
from keras_fuzzyhess.packing import PackedState
from keras_fuzzyhess.probe_schedule import probe_schedule
from keras_fuzzyhess.replicas import all_reduce_sum, cond_in_every_replica
from keras_fuzzyhess.salo import SALO
from keras_fuzzyhess.second_gradient import GradientsAt

LENGTH_PROBE_MOMENTUM = 0.97
"""Momentum of slope and curvature along the step. Our choice."""

TRUST_FACTOR = 4.0
"""Largest growth of the step from one length probe to the next. Our choice."""


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class FuzzyHess(FuzzyControlledOptimizer):
    """Second-order optimizer that finds its own learning rate.

    Most steps take one gradient `g`. Every `probe_interval`-th step takes a second
    one at randomly shifted weights, which samples the diagonal of the Hessian, and
    half an interval later one further along the last step, which tells how long the
    step should be. A fuzzy-logic system watches the loss and drives the gain `c` and
    the momentum `beta_3` of the curvature. With all operations element by element:

    ```
    curvature probe   h = (g(w + r z) - g(w)) / (r z) ,    z random signs
                      d <- beta_3 d + (1 - beta_3) h**2
    length probe      kappa = |u . (g(w) - g(w - eta u))| / eta
                      s = g(w) . u + eta kappa ,    u, eta of the step before
                      a = max(mean s, 0) / mean kappa
    direction         u = m / D ,   D = (sqrt(d) + 0.1 mean(sqrt(d)))**p sqrt(v)**(1-p)
    control           c <- clip(c exp(gain_rate), 0.1, 10)
    step              eta = learning_rate c a ,    w <- w - eta u
    ```

    where `m` and `v` are the bias-corrected averages of `g` and `g**2`, and `u` is
    clipped to 3 times its root mean square. Between two length probes `eta` grows at
    most fourfold, or to 4 `probe_radius` in the root mean square of `eta u`.

    Reference: Bensadok and Babar, "Fuzzy hyperparameters update in a second order
    optimization", arXiv 2403.15416, for the probe at shifted weights, the momentum of
    the second derivative and the fuzzy control of both. Random signs, the squared
    average, the length probe, the direction between curvature and Adam, the rules and
    all default values are our choice; `FuzzyHess.salo` keeps to the paper.

    Args:
        learning_rate: A float, a `keras.optimizers.schedules.LearningRateSchedule` or
            a callable: factor of the measured step length, without unit. Defaults to
            `1.0`, the measured minimum; a schedule is a schedule of this factor.
        beta_1: Float in [0, 1), momentum of the gradient. Defaults to `0.9` (Adam's).
        beta_2: Float in [0, 1), momentum of the squared gradient. Defaults to `0.999`
            (Adam's).
        curvature_power: Float in [0, 1], the share `p` of curvature in the direction:
            0 is Adam's direction, 1 pure curvature. Defaults to `0.5`.
        probe_interval: Integer of at least 2. Every so many steps a curvature probe
            and a length probe are taken, so that a step costs `1 + 2 / probe_interval`
            gradients on average. Defaults to `10`.
        probe_radius: Positive float `r`, how far a curvature probe shifts every
            weight. Defaults to `0.01`; smaller ones lose precision, larger ones leave
            the neighbourhood.
        total_steps: Integer or `None`, the planned number of steps; the rules for
            late training apply towards its end. Defaults to `None`: progress is then
            `step / (step + 1000)`.
        rule_base: A `keras_fuzzyhess.fuzzy.RuleBase`, the path of its JSON file, or a
            `skfuzzy.control.ControlSystem`. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        seed: Integer or `None`, seed of the random signs. With `None` one is drawn,
            after `keras.utils.set_random_seed` always the same.
        name: String, the optimizer's name.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`:
            `weight_decay` (decoupled: a step also subtracts `weight_decay * rms * w`,
            with `rms` the root mean square of the step over all weights, which takes
            the place of AdamW's learning rate), `clipnorm`, `clipvalue` and
            `global_clipnorm` (of what is averaged; probes see unclipped gradients),
            `use_ema`, `ema_momentum`, `ema_overwrite_frequency`, `loss_scale_factor`
            and `gradient_accumulation_steps` (a probe is taken on the last minibatch
            of those accumulated).

    Raises:
        ValueError: if an argument is out of its range, or under the global policy
            `mixed_float16`.
        TypeError: if `rule_base` is none of the types above.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> x = tf.random.stateless_normal((64, 2), seed=(0, 1))
    >>> y = x @ [[1.0], [-2.0]]
    >>> history = model.fit(x, y, epochs=20, verbose=0)
    >>> history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    True
    """

    def __init__(
        self,
        learning_rate=1.0,
        beta_1=0.9,
        beta_2=0.999,
        curvature_power=0.5,
        probe_interval=10,
        probe_radius=0.01,
        total_steps=None,
        rule_base=None,
        seed=None,
        name="fuzzyhess",
        **kwargs,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            probe_radius,
            total_steps,
            default_rule_base() if rule_base is None else rule_base,
            name=name,
            **kwargs,
        )
        check_momentum("beta_2", beta_2)
        holds = is_number(curvature_power) and 0 <= curvature_power <= 1
        check_argument("curvature_power", curvature_power, "in [0, 1]", holds)
        check_integer("probe_interval", probe_interval, 2, ", for two kinds take turns")
        if seed is not None:
            check_integer("seed", seed, 0, " or None")
        self.beta_2 = beta_2
        self.curvature_power = curvature_power
        self.probe_interval = probe_interval
        self.seed = seed

    @classmethod
    def salo(cls, **kwargs) -> SALO:
        """The optimizer of arXiv 2403.15416, as far as the paper tells.

        Args:
            **kwargs: Arguments of `keras_fuzzyhess.SALO`.

        Returns:
            A `keras_fuzzyhess.SALO`.

        Example:

        >>> FuzzyHess.salo(learning_rate=0.02).name
        'salo'
        """
        return SALO(**kwargs)

    def build(self, variables) -> None:
        """Creates the optimizer's variables, three numbers for each weight."""
        if self.built:
            return
        super().build(variables)
        if self.curvature_power < 1:
            self._velocity = PackedState(variables, self.add_variable, "velocity")
        self._slope = self.add_scalar("slope")
        self._slope_curvature = self.add_scalar("slope_curvature")
        self._length_weight = self.add_scalar("length_weight")
        self._last_length = self.add_scalar("last_length")
        self._longest = self.add_scalar("longest")
        self._seed_generator = keras.random.SeedGenerator(self.seed)
        self._track_variable(self._seed_generator.state)

    # Measure.

    def is_probe_step(self) -> tf.Tensor:
        """Whether this step takes a probe of either kind."""
        return tf.reduce_any(probe_schedule(self.iterations, self.probe_interval))

    def probe(
        self,
        gradients_at: GradientsAt,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
    ) -> None:
        """Takes the probe that is due; one second gradient serves for either kind."""
        is_curvature, _ = probe_schedule(self.iterations, self.probe_interval)
        direction = self._direction(variables, self.iterations)
        last_length = self._last_length.value
        # The step's own length, so that the parabola is fitted where it is used.
        first = step_length.length_of_shift(direction, self.probe_radius)
        distance = tf.where(last_length > 0, last_length, first)
        signs = curvature.random_signs(direction, self._seed_generator)
        shifts = [
            tf.where(
                is_curvature, self.probe_radius * z, -tf.cast(distance, u.dtype) * u
            )
            for z, u in zip(signs, direction, strict=True)
        ]
        shifted_gradients, _ = gradients_at(shifts)

        # Each sums over replicas only what it needs: one number for each weight, or
        # two numbers.
        def take_curvature():
            changes = curvature.gradient_change(gradients, shifted_gradients)
            samples = curvature.diagonal_sample(all_reduce_sum(changes), shifts)
            self.average_curvature([sample**2 for sample in samples], variables)

        def take_length():
            pair = (gradients, shifted_gradients)
            slopes = [step_length.inner_product(g, direction) for g in pair]
            slopes = all_reduce_sum(slopes)
            self._longest.assign(TRUST_FACTOR * tf.maximum(last_length, first))
            self._average_parabola(
                *step_length.slope_and_curvature(*slopes, distance, last_length)
            )

        cond_in_every_replica(is_curvature, take_curvature, take_length)
        self._probes.assign_add(1)

    def _average_parabola(self, slope: tf.Tensor, kappa: tf.Tensor) -> None:
        averages = (self._slope, self._slope_curvature, self._length_weight)
        for average, value in zip(averages, (slope, kappa, 1.0), strict=True):
            average.assign(average + (1 - LENGTH_PROBE_MOMENTUM) * (value - average))

    def measured_length(self) -> tf.Tensor:
        """The line minimum `a`; 0, so that nothing moves, before the first probe."""
        return step_length.line_minimum(self._slope.value, self._slope_curvature.value)

    def measured_slope(self) -> tf.Tensor:
        """Bias-corrected average of the slopes `s`."""
        return tf.math.divide_no_nan(self._slope.value, self._length_weight.value)

    def curvature_scale(self, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """`sqrt(d)`, bias-corrected."""
        averages = self.read_state(self._curvature, variables)
        return curvature.root_mean_square(averages, self._curvature_weight.value)

    # Apply.

    def displacements(
        self,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
        learning_rate: tf.Tensor,
    ) -> list[tf.Tensor]:
        """`eta u`, from the gradients of this step."""
        self.average_gradients(gradients, variables)
        if self.curvature_power < 1:
            squares = [gradient**2 for gradient in gradients]
            self.move_average(self._velocity, squares, 1 - self.beta_2, variables)
        length = tf.minimum(
            learning_rate * self.update_gain() * self.measured_length(),
            self._longest.value,
        )
        self._last_length.assign(length)
        direction = self._direction(variables, self.iterations + 1)
        return [tf.cast(length, u.dtype) * u for u in direction]

    def _direction(
        self, variables: Sequence[tf.Variable], steps: tf.Tensor
    ) -> list[tf.Tensor]:
        """`u` from the averages as they are after `steps` steps.

        A length probe computes the direction of the step before once more, rather
        than that it takes up memory.
        """
        momentum = self.momentum(variables, steps)
        scales = self.curvature_scale(variables)
        weight = 1 - self.beta_2 ** tf.cast(steps, tf.float32)
        gradient_scales = None
        if self.curvature_power < 1:
            gradient_scales = [
                tf.sqrt(tf.math.divide_no_nan(v, tf.cast(weight, v.dtype)))
                for v in self.read_state(self._velocity, variables)
            ]
        return newton_adam_direction(
            momentum,
            scales,
            self._mean_curvature.value,
            gradient_scales,
            self.curvature_power,
        )

    # Save.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {
            "beta_2": self.beta_2,
            "curvature_power": self.curvature_power,
            "probe_interval": self.probe_interval,
            "seed": self.seed,
        }
