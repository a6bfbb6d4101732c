"""FuzzyHess: second gradients, averaged weights, steps driven by fuzzy rules."""

from typing import Any

import keras

from keras_fuzzyhess.algorithm import Algorithm
from keras_fuzzyhess.arguments import (
    check_between,
    check_integer,
    warn_of_small_rate,
)
from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer
from keras_fuzzyhess.constants import constants_of, given_constants
from keras_fuzzyhess.control.controller import Controller
from keras_fuzzyhess.direction import Direction, direction_config, named_direction
from keras_fuzzyhess.fuzzy import control_surface, default_rule_base, resolve_rule_base
from keras_fuzzyhess.measure.averaged_loss import AveragedLossTrend, promised_fall
from keras_fuzzyhess.measure.averaging_rate import Averaging
from keras_fuzzyhess.measure.coming_fall import ComingFall
from keras_fuzzyhess.measure.curvature_average import Curvature
from keras_fuzzyhess.measure.probe_schedule import ProbeSchedule
from keras_fuzzyhess.measure.probes import ProbesInTurn
from keras_fuzzyhess.measure.step_length import StepLength
from keras_fuzzyhess.salo import SALO

PARTS = {
    "length": StepLength,
    "trend": AveragedLossTrend,
    "coming_fall": ComingFall,
    "schedule": ProbeSchedule,
    "averaging": Averaging,
    "controller": Controller,
}
"""Those that have constants, by the names that `constants` has for them."""


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class FuzzyHess(SecondGradientOptimizer):
    """Second-order optimizer that finds its own learning rate.

    Most steps take one gradient `g`. Now and then a step takes a second one at the
    moving average of the weights, where the loss tells whether the steps are too long.
    A fuzzy-logic system turns that into the gain `c`. After the first step `s` the
    average is still where that came from, and the slopes on both ends of it, their
    difference the curvature along it, tell whether it went too far. With all operations
    element by element:

    ```
    first length      a = 0.02 rms(first w) ,    after a probe at w + s
                      a <- a clip((0.7 / q)**3, 1/4, 1) ,    q = 1 - g(w)·s / g(w+s)·s
    average           average <- average + (w - average) / (1 + (step - 1) / 20)
    loss probe        e <- mean of (L(w) - L(average)) / (c s) ,    trend = -c e ,
                      s the geometric mean of two scatters: of L(average), and of the
                      difference, at most 3 times that of the last few probes, or a
                      quarter of the coming fall if that is more;
                      fall = share of the lead's promise that L(average) falls by
                      (`measure/averaged_loss.py`)
    coming fall       clip(16 (slow - fast), 0, |L(average)|), averages of the losses
                      of about the last 8th and 16th of all steps
                      (`measure/coming_fall.py`)
    memory            o <- mean of -(2 - r) / r <g, m> / <g, g>, both divided as u is,
                      with the m before g, and r = 1 - beta_1 ;
                      k = clip(4 o - 1, 0, 1) ,    1 - beta_1 = 0.1 0.2**k ,
                      y = 0.2 - 0.18 k    (`direction/oscillation.py`)
    direction         u = ((1 - y) m + y g) / (sqrt(v) + mean(sqrt(v)) / 1000)
    of a short matrix in bases `Q_L`, `Q_R` near the eigenvectors of averages of
                      `g g'` and `g' g`: `Q_L' g Q_R` is taken for `g`, `Q_L u Q_R'`
                      for `u`
    of a long one     U <- |U| O / |O| ,    O nearly the nearest orthogonal to U
    control           c <- c exp(gain_rate(trend, fall) / (1 + step / 100))
    end of a plan     b = left / 0.3, and c is held, where less than 0.3 of
                      `total_steps` is left, once trend < -0.2 ;    else b = 1
    step              w <- w - learning_rate b c a u
    ```

    where `m` and `v` are the bias-corrected averages of `g` and `g**2`, and `u` is
    clipped to 3 times its root mean square, which is kept below 1.5 times its average.
    A kernel, or an embedding, is a matrix with a column for each output. It is long if
    a side is longer than 256, or if its bases would have more than 4.5 numbers for each
    element (`direction/eigenbases.py`). `O` has the singular vectors of `U`, and
    singular values that are nearly all alike (`direction/orthogonal.py`).
    For `a`, outliers among the first weights count for less: `measure/step_length.py`.
    Of a weight of at least `2**15` elements and at least two axes, `v` is kept by the
    means of rows and columns, as in Adafactor (arXiv 1804.04235):
    `state/mean_squares.py`.

    **The diagonal of the Hessian**, the paper's curvature, is measured and used with a
    `curvature_power` above 0, as "diagonal" and "orthogonal" directions have it. Then a
    step now and then takes a second gradient at randomly shifted weights, and the rules
    also drive the momentum `beta_3` of the curvature:

    ```
    curvature probe   h = (g(w + r z) - g(w)) / (r z) ,    z random signs
                      d <- beta_3 d + (1 - beta_3) h**2
    direction         u = ((1 - y) m + y g) / D ,   D = Newton**p sqrt(v)**(1-p) ,
                      Newton = mean(sqrt(v)) (sqrt(d) / mean(sqrt(d)) + 0.1)
    ```

    **`fit` ends with the averaged weights**, as with Keras's `use_ema`; on the way the
    model has the weights themselves. Constraints hold for both. The next `fit` goes on
    from what the model has then, and averages anew: weights may be set in between.
    `AveragesInValidation()` validates the averages and shows them to the callbacks
    behind it, as `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` does, of which
    `BackupAndRestore` must not be one. A training loop of your own ends with
    `optimizer.finalize_variable_values(model.trainable_variables)`.

    A minibatch whose loss or gradient is not finite is skipped, as if it had not been
    there; `diagnostics` counts such steps, and ten in a row bring a warning. So does,
    once, a loss that stays a hundredfold over its level (`warn_of_divergence`).

    Source: arXiv 2403.15416, for second gradients at shifted weights, the momentum of
    the second derivative and fuzzy control. Eigenbases are those of SOAP (arXiv
    2409.11321), the quasi-hyperbolic momentum `(1 - y) m + y g` is that of arXiv
    1810.06801, and matrices are made orthogonal as in Muon (Jordan et al. 2024), which
    does it with the momentum. All else and all default values are our choice;
    `FuzzyHess.salo` keeps to the paper.

    Args:
        learning_rate: A float in [0, 1e6], a schedule
            (`keras.optimizers.schedules.LearningRateSchedule`) or a callable: factor of
            the step length, without unit. Defaults to `1.0`. The rules make up for most
            of a change of it. A float below 0.01 brings a warning: it is likely that of
            another optimizer.
        beta_1: Float in [0, 1), momentum of the gradient where gradients do not
            oscillate. Defaults to `None`: that of the direction, `0.9` (Adam's).
        beta_2: Float in [0, 1), momentum of the squared gradient. Defaults to `None`:
            that of the direction, `0.9`.
        curvature_power: Float in [0, 1], the share `p` of curvature in the direction:
            0 is Adam's scale, with a floor, for which no curvature is probed, 1 pure
            curvature. Defaults to `None`: that of the direction, `0` where it is
            "rotated" or "adam", else `0.5`.
        probe_interval: Integer of at least 2. At first every so many steps a loss probe
            is taken, after 400 steps half as often, and so on: `n` steps cost about
            `n + 1 + 400 / probe_interval log(1 + n / 400)` gradients. Where the
            direction needs curvature, as many curvature probes come to that. Defaults
            to `10`: 1.05 gradients a step over 1,000 steps, 1.01 over 20,000.
        probe_radius: Float in [1e-8, 1e3], `r`, how far a curvature probe shifts every
            weight. Defaults to `0.01`; smaller ones lose precision, larger ones leave
            the neighbourhood.
        total_steps: Positive integer or `None`, the planned number of steps. With
            rules of the rate law, as the default ones, steps get shorter in the last
            0.3 of them, in a line towards 0, once the weights swing around their
            average; from there to the end the gain is held. A schedule of
            `learning_rate` counts besides. The rules for late training apply towards
            the end. Steps after the plan are as long as before. Defaults to `None`:
            there is no such end, and progress is `step / (step + 1000)`.
        rule_base: A `keras_fuzzyhess.fuzzy.RuleBase`, the path of its JSON file, or a
            `skfuzzy.control.ControlSystem`. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        use_ema: Boolean, whether `fit` ends with the averaged weights. Defaults to
            `True`.
        ema_momentum: Float in [0, 1), the largest momentum of the average, which grows
            as `(step - 1) / (step + 19)`. Defaults to `0.999`, about 1,000 steps.
        seed: Integer of at least 0, or `None`, seed of the random signs of curvature
            probes. With `None`
            one is drawn, after `keras.utils.set_random_seed` always the same.
        name: String, the optimizer's name.
        direction: "rotated", the direction above; "orthogonal", all matrices as long
            ones, with curvature; "diagonal", none of the two lines on matrices, which
            costs least; "adam", that without curvature; or a
            `keras_fuzzyhess.direction.Direction` with constants of its own: then
            `beta_1`, `beta_2` and `curvature_power` must be left out. Defaults to
            `"rotated"`.
        constants: A dict of some of "length" (`measure/step_length.py`), "trend"
            (`measure/averaged_loss.py`), "coming_fall" (`measure/coming_fall.py`),
            "schedule" (`measure/probe_schedule.py`), "averaging"
            (`measure/averaging_rate.py`) and "controller" (`control/controller.py`),
            each with a dict of some of the constants documented there, as `{"length":
            {"share": 0.01}}`. Defaults to `None`: all have their defaults, which the
            attribute of this name shows.
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
            cannot be used, if a name of a direction or a constant is not known, or if
            a direction with constants of its own comes with others.
        TypeError: if `rule_base` or `direction` is none of the types above.
        OSError: if the file that it names cannot be read.

    Example:

    >>> import tensorflow as tf
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> x = tf.random.stateless_normal((64, 2), seed=(0, 1))
    >>> y = x @ [[1.0], [-2.0]]
    >>> history = model.fit(x, y, epochs=60, verbose=0)
    >>> history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    True
    """

    _averages_weights = True

    def __init__(
        self,
        learning_rate=1.0,
        beta_1=None,
        beta_2=None,
        curvature_power=None,
        probe_interval=10,
        probe_radius=0.01,
        total_steps=None,
        rule_base=None,
        use_ema=True,
        ema_momentum=0.999,
        seed=None,
        name="fuzzyhess",
        direction="rotated",
        constants=None,
        **kwargs,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            name=name,
            **kwargs,
        )
        warn_of_small_rate("FuzzyHess", learning_rate)
        where = named_direction(
            direction, beta_1=beta_1, beta_2=beta_2, curvature_power=curvature_power
        )
        self._probe_interval = check_integer(
            "probe_interval", probe_interval, 2, ", for two kinds take turns"
        )
        self._probe_radius = check_between("probe_radius", probe_radius, 1e-8, 1e3)
        self.rule_base = resolve_rule_base(
            default_rule_base() if rule_base is None else rule_base
        )
        if seed is not None:
            seed = check_integer("seed", seed, 0, " or None")
        self.seed = seed
        given = given_constants(constants, PARTS)
        length = StepLength(**given["length"])
        schedule = ProbeSchedule(self._probe_interval, **given["schedule"])
        self._averaging = Averaging(**given["averaging"])
        promised = promised_fall(
            schedule.interval, schedule.thinning, self._averaging.window
        )
        trend = AveragedLossTrend(promised, **given["trend"])
        coming_fall = ComingFall(**given["coming_fall"])
        surface = control_surface(self.rule_base)
        controller = Controller(surface, **given["controller"])
        curvature = None
        if where.needs_curvature:
            curvature = Curvature(self._probe_radius, basis=where.basis)
        probes = ProbesInTurn(curvature, trend, coming_fall, length, schedule)
        self.algorithm = Algorithm(probes, where, controller, length)
        self._parts = {
            "length": length,
            "trend": trend,
            "coming_fall": coming_fall,
            "schedule": schedule,
            "averaging": self._averaging,
            "controller": controller,
        }
        self.total_steps = total_steps

    @classmethod
    def salo(cls, **kwargs) -> SALO:
        """The optimizer of arXiv 2403.15416, as far as it tells: `SALO(**kwargs)`.

        Example:

        >>> FuzzyHess.salo(learning_rate=0.02).name
        'salo'
        """
        return SALO(**kwargs)

    # Arguments that parts have taken over can be read, and not assigned.

    @property
    def direction(self) -> Direction:
        """Where steps go."""
        return self.algorithm.direction

    def _of_direction(self, name: str) -> float | None:
        """A constant of it, or of the one in it."""
        scaled = getattr(self.direction, "scaled", self.direction)
        return getattr(scaled, name, None)

    @property
    def beta_1(self) -> float | None:
        """The least momentum of the gradient; None if the direction has none."""
        return self._of_direction("beta_1")

    @property
    def beta_2(self) -> float | None:
        """Momentum of the squared gradient; None as for `beta_1`."""
        return self._of_direction("beta_2")

    @property
    def curvature_power(self) -> float | None:
        """The share of curvature; None as for `beta_1`."""
        return self._of_direction("curvature_power")

    @property
    def probe_interval(self) -> int:
        """At first every so many steps take a probe of each kind."""
        return self._probe_interval

    @property
    def probe_radius(self) -> float:
        """How far a curvature probe shifts every weight."""
        return self._probe_radius

    @property
    def constants(self) -> dict[str, dict[str, float]]:
        """The constants of the parts, by part and name; the direction has its own.

        Example:

        >>> optimizer = FuzzyHess(constants={"controller": {"slowing": 50}})
        >>> optimizer.constants["controller"]["slowing"]
        50.0
        """
        return {name: constants_of(part) for name, part in self._parts.items()}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {
            "direction": direction_config(self.direction),
            "probe_interval": self.probe_interval,
            "probe_radius": self.probe_radius,
            "total_steps": self.total_steps,
            "rule_base": self.rule_base.to_dict(),
            "seed": self.seed,
            "constants": self.constants,
        }
