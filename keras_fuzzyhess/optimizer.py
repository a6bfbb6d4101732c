"""FuzzyHess: curvature measured, averaged weights, steps driven by fuzzy rules."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_fuzzyhess import curvature
from keras_fuzzyhess.arguments import check_between, check_integer, check_momentum
from keras_fuzzyhess.direction import (
    GRADIENT_SHARE,
    newton_adam_direction,
    quasi_hyperbolic,
)
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.mean_squares import MeanSquares, square_roots
from keras_fuzzyhess.minibatch import Probe
from keras_fuzzyhess.probe_schedule import DueProbes, probe_schedule
from keras_fuzzyhess.replicas import all_reduce_sum, cond_in_every_replica
from keras_fuzzyhess.salo import SALO
from keras_fuzzyhess.step_length import StepLength, dot, shortening
from keras_fuzzyhess.weight_averaging import WeightAveragingOptimizer


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class FuzzyHess(WeightAveragingOptimizer):
    """Second-order optimizer that finds its own learning rate.

    Most steps take one gradient `g`. Now and then a step takes a second one at
    randomly shifted weights, which samples the diagonal of the Hessian, or one at the
    moving average of the weights, where the loss tells whether the steps are too long.
    A fuzzy-logic system turns that into the gain `c` and the momentum `beta_3` of the
    curvature. After the first step `s` the average is still where that came from, and
    the slopes on both ends of it tell whether it went too far. With all operations
    element by element:

    ```
    first length      a = 0.02 rms(first w) ,    after a probe at w + s
                      a <- a clip((0.7 / q)**3, 1/4, 1) ,    q = 1 - g(w)·s / g(w+s)·s
    curvature probe   h = (g(w + r z) - g(w)) / (r z) ,    z random signs
                      d <- beta_3 d + (1 - beta_3) h**2
    average           average <- average + (w - average) / (1 + (step - 1) / 20)
    loss probe        e <- mean of (L(w) - L(average)) / (c scatter of L(average))
                      trend = -c e
    direction         u = (0.8 m + 0.2 g) / D ,   D = Newton**p sqrt(v)**(1-p) ,
                      Newton = mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + 0.1)
    control           c <- c exp(gain_rate(trend) / (1 + step / 100))
    step              w <- w - learning_rate c a u
    ```

    where `m` and `v` are the bias-corrected averages of `g` and `g**2`, and `u` is
    clipped to 3 times its root mean square, which is kept below 1.5 times its average.
    For `a`, outliers among the first weights count for less: `step_length.py`.
    Of a weight of at least `2**15` elements and two axes, `d` and `v` are kept by the
    means of rows and columns, as in Adafactor (arXiv 1804.04235): `mean_squares.py`.

    **`fit` ends with the averaged weights**, as with Keras's `use_ema`; on the way the
    model has the weights themselves. Constraints hold for both. The next `fit` goes on
    from what the model has then, and averages anew: weights may be set in between.
    `AveragesInValidation()` validates the averages and shows them to the callbacks
    behind it, as `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` does, of which
    `BackupAndRestore` must not be one. A training loop of your own ends with
    `optimizer.finalize_variable_values(model.trainable_variables)`.

    A minibatch whose loss or gradient is not finite is skipped, as if it had not been
    there; `diagnostics` counts such steps, and ten in a row bring a warning.

    Source: arXiv 2403.15416, for the probe at shifted weights, the momentum of the
    second derivative and the fuzzy control of both. The quasi-hyperbolic momentum
    `0.8 m + 0.2 g` is that of arXiv 1810.06801. All else and all default values are
    our choice; `FuzzyHess.salo` keeps to the paper.

    Args:
        learning_rate: A float in [0, 1e6], a schedule
            (`keras.optimizers.schedules.LearningRateSchedule`) or a callable: factor of
            the step length, without unit. Defaults to `1.0`. The rules make up for most
            of a change of it.
        beta_1: Float in [0, 1), momentum of the gradient. Defaults to `0.9` (Adam's).
        beta_2: Float in [0, 1), momentum of the squared gradient. Defaults to `0.9`.
        curvature_power: Float in [0, 1], the share `p` of curvature in the direction:
            0 is Adam's direction, 1 pure curvature. Defaults to `0.5`.
        probe_interval: Integer of at least 2. At first every so many steps a curvature
            probe and a loss probe are taken, after 400 steps half as often, and so on:
            `n` steps cost `n + 2 + 800 / probe_interval log(1 + n / 400)` gradients.
            Defaults to `10`: 1.10 gradients a step over 1,000 steps, 1.02 over 20,000.
        probe_radius: Float in [1e-8, 1e3], `r`, how far a curvature probe shifts every
            weight. Defaults to `0.01`; smaller ones lose precision, larger ones leave
            the neighbourhood.
        total_steps: Positive integer or `None`, the planned number of steps; the rules
            for late training apply towards its end. Defaults to `None`: progress is
            then `step / (step + 1000)`.
        rule_base: A `keras_fuzzyhess.fuzzy.RuleBase`, the path of its JSON file, or a
            `skfuzzy.control.ControlSystem`. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        use_ema: Boolean, whether `fit` ends with the averaged weights. Defaults to
            `True`.
        ema_momentum: Float in [0, 1), the largest momentum of the average, which grows
            as `(step - 1) / (step + 19)`. Defaults to `0.999`, about 1,000 steps.
        seed: Integer of at least 0, or `None`, seed of the random signs. With `None`
            one is drawn, after `keras.utils.set_random_seed` always the same.
        name: String, the optimizer's name.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`:
            `weight_decay` (decoupled: a step also subtracts `weight_decay * rms * w`,
            and at most `w`, with `rms` the root mean square of the step over all
            weights, in the place of AdamW's learning rate), `clipnorm`, `clipvalue` and
            `global_clipnorm` (of what is averaged; probes see unclipped gradients),
            `ema_overwrite_frequency`, `loss_scale_factor` and
            `gradient_accumulation_steps` (the last minibatch of them is probed).

    Raises:
        ValueError: if an argument is out of its range (momenta are at most 0.999999,
            integers at most 2**31 - 1, those of Keras at most 1e12), if `rule_base`
            cannot be used.
        TypeError: if `rule_base` is none of the types above.
        OSError: if the file that it names cannot be read.

    Example:

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> x = tf.random.stateless_normal((64, 2), seed=(0, 1))
    >>> y = x @ [[1.0], [-2.0]]
    >>> history = model.fit(x, y, epochs=60, verbose=0)
    >>> history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    True
    """

    gradient_share = GRADIENT_SHARE  # of `g` in `0.8 m + 0.2 g`

    def __init__(
        self,
        learning_rate=1.0,
        beta_1=0.9,
        beta_2=0.9,
        curvature_power=0.5,
        probe_interval=10,
        probe_radius=0.01,
        total_steps=None,
        rule_base=None,
        use_ema=True,
        ema_momentum=0.999,
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
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            name=name,
            **kwargs,
        )
        self.beta_2 = check_momentum("beta_2", beta_2)
        self.curvature_power = check_between("curvature_power", curvature_power, 0, 1)
        self.probe_interval = check_integer(
            "probe_interval", probe_interval, 2, ", for two kinds take turns"
        )
        if seed is not None:
            seed = check_integer("seed", seed, 0, " or None")
        self.seed = seed

    @classmethod
    def salo(cls, **kwargs) -> SALO:
        """The optimizer of arXiv 2403.15416, as far as it tells: `SALO(**kwargs)`.

        Example:

        >>> FuzzyHess.salo(learning_rate=0.02).name
        'salo'
        """
        return SALO(**kwargs)

    def build(self, variables) -> None:
        """Creates the optimizer's variables: for each weight two to four numbers."""
        if self.built:
            return
        super().build(variables)
        self._velocity = MeanSquares(
            self.stepped(variables), self.add_variable, "velocity"
        )
        self._step_length = StepLength(self.add_scalar)
        self._seed_generator = keras.random.SeedGenerator(self.seed)
        self._track_variable(self._seed_generator.state)
        self.restore_loaded_state()

    # Measure.

    def is_probe_step(self) -> tf.Tensor:
        """Whether this step takes a probe of any kind."""
        return tf.reduce_any(self._due_probes())

    def shifts(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable]
    ) -> list[tf.Tensor]:
        """Random signs, or the way to the average: at first, the first step undone."""
        state = self._seed_generator.next()  # which replicas keep outside of branches

        def to_random_side():
            signs = self.signs(gradients, state)
            radii = {z.dtype: tf.constant(self.probe_radius, z.dtype) for z in signs}
            return [radii[z.dtype] * z for z in signs]

        return tf.cond(
            self._due_probes().curvature,
            to_random_side,
            lambda: self.way_to_average(variables),
        )

    def observe(self, probe: Probe, variables: list[tf.Variable]) -> None:
        """Keeps what the probe tells of curvature, of the loss or of the length."""
        due = self._due_probes()

        def observe_loss():
            self.average_loss(probe.loss, all_reduce_sum(probe.shifted_loss))

        def observe_length_or_loss():
            observe_length = functools.partial(self.observe_length, probe)
            cond_in_every_replica(due.length, observe_length, observe_loss)

        # Each sums over replicas only what it needs: numbers for all weights, or one.
        observe_curvature = functools.partial(self.observe_curvature, probe, variables)
        cond_in_every_replica(due.curvature, observe_curvature, observe_length_or_loss)
        self._probes.assign_add(1)

    def _due_probes(self) -> DueProbes:
        return probe_schedule(self.iterations, self.probe_interval)

    def observe_length(self, probe: Probe) -> None:
        """Shortens the steps, if this one finds that the first went too far."""
        before = all_reduce_sum(dot(probe.shifted_gradients, probe.shifts))
        after = dot(probe.gradients, probe.shifts)
        self.keep_or_drop(
            tf.math.is_finite(before) & tf.math.is_finite(after),
            lambda: self._step_length.shorten(shortening(before, after)),
        )

    def signs(self, gradients: list[tf.Tensor], state: tf.Tensor) -> list[tf.Tensor]:
        """Directions of the shifts of a curvature probe, -1 or +1 for each weight."""
        return curvature.random_signs(gradients, state)

    def curvature_state(self, variables: Sequence[tf.Variable]) -> MeanSquares:
        """Where `d` is kept: not negative, whatever the samples."""
        return MeanSquares(variables, self.add_variable, "curvature")

    def curvature_scale(self, averages: list) -> list:
        """`sqrt(d)`."""
        return square_roots(averages)

    def step_length(self) -> tf.Tensor:
        """`a`; 0 before the first step."""
        return self._step_length.value

    # Apply.

    def step(
        self,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """`u / 0.8`, and `0.8 learning_rate c a`."""
        is_first = tf.equal(self.step_length(), 0)
        cond_in_every_replica(is_first, lambda: self._start(variables), lambda: None)
        momentum = self.move_average(self._momentum, gradients, self.beta_1, variables)
        velocity = self.move_average(self._velocity, gradients, self.beta_2, variables)
        mixed = quasi_hyperbolic(momentum, gradients, self.gradient_share)
        direction, size = newton_adam_direction(
            mixed,
            self.measured_curvature(variables),
            self._mean_curvature.value,
            square_roots(velocity),
            self.curvature_power,
        )
        length = (1 - self.gradient_share) * learning_rate * self.update_gain()
        return direction, length * self._step_length.along(size)

    def _start(self, variables: Sequence[tf.Variable]) -> None:
        """Takes note of the first weights."""
        weights = [tf.convert_to_tensor(v) for v in variables]
        self.start_average(variables, weights)
        self._step_length.start(weights)

    # Save.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {
            "beta_2": self.beta_2,
            "curvature_power": self.curvature_power,
            "probe_interval": self.probe_interval,
            "seed": self.seed,
        }
