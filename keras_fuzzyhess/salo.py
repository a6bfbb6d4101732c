"""SALO: the optimizer of arXiv 2403.15416, as far as the paper tells."""

from typing import Any

import keras

from keras_fuzzyhess.algorithm import Algorithm
from keras_fuzzyhess.arguments import check_between
from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer
from keras_fuzzyhess.constants import constants_of, given_constants
from keras_fuzzyhess.control.controller import Controller
from keras_fuzzyhess.direction import Newton
from keras_fuzzyhess.fuzzy import control_surface, paper_rule_base, resolve_rule_base
from keras_fuzzyhess.measure.curvature_average import Curvature
from keras_fuzzyhess.measure.loss_trend import LossTrend
from keras_fuzzyhess.measure.probes import ProbeEveryStep
from keras_fuzzyhess.measure.step_length import UnitLength

PARTS = {"trend": LossTrend, "controller": Controller}
"""Those that have constants, by the names that `constants` has for them."""


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class SALO(SecondGradientOptimizer):
    """The paper's second-order optimizer with fuzzy hyperparameters.

    Every step takes two gradients, the second with all weights advanced by the same
    small `r`. With all operations element by element:

    ```
    h = (g(w + r) - g(w)) / r
    d <- beta_3 d + (1 - beta_3) h ,    m <- beta_1 m + (1 - beta_1) g
    w <- w - learning_rate gain m / (|d| + epsilon)
    ```

    with `m` and `d` bias-corrected, and `gain` and `beta_3` the outputs of the fuzzy
    system.

    **Bias:** a constant `r` measures the row sums of the Hessian, not its diagonal,
    however many probes are averaged; they agree where the Hessian is diagonal.
    `keras_fuzzyhess.FuzzyHess` therefore draws random signs.

    Reference: Bensadok and Babar, arXiv 2403.15416. The paper does not publish `r`,
    the momenta, how it treats negative curvature, its membership functions or its
    rules: the absolute value, `epsilon`, all default values and the rule base are our
    choice.

    Args:
        learning_rate: A float in [0, 1e6], a schedule or a callable, without unit; the
            fuzzy system's `gain` multiplies it. Defaults to `0.3`.
        beta_1: Float in [0, 1), momentum of the gradient. Defaults to `0.9`.
        epsilon: Float in [1e-8, 1e8] added to the curvature, in units of loss per
            squared weight. Defaults to `0.1`.
        probe_radius: As in `FuzzyHess`. Defaults to `0.01`.
        total_steps: Positive integer or `None`, the planned number of steps: the rules
            see their share as progress, and shorten the steps themselves. Defaults to
            `None`: progress is then `step / (step + 1000)`.
        rule_base: As in `FuzzyHess`. Defaults to
            `keras_fuzzyhess.fuzzy.paper_rule_base()`.
        name: String, the optimizer's name.
        constants: As in `FuzzyHess`, of "trend" (`measure/loss_trend.py`) and
            "controller" (`control/controller.py`). Defaults to `None`.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`, as in
            `FuzzyHess`.

    Raises:
        ValueError: if an argument is out of its range, if `rule_base` cannot be used,
            or if a name of a constant is not known.
        TypeError: if `rule_base` is of none of the types that `FuzzyHess` takes.
        OSError: if the file that it names cannot be read.

    Example:

    >>> import tensorflow as tf
    >>> w, optimizer = tf.Variable([5.0, -3.0]), SALO()
    >>> for _ in range(50):
    ...     loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    >>> float(loss) < 1.0
    True
    """

    first_step_length = 1.0

    def __init__(
        self,
        learning_rate=0.3,
        beta_1=0.9,
        epsilon=0.1,
        probe_radius=0.01,
        total_steps=None,
        rule_base=None,
        name="salo",
        constants=None,
        **kwargs,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self._direction = Newton(beta_1, epsilon)
        self._probe_radius = check_between("probe_radius", probe_radius, 1e-8, 1e3)
        self.rule_base = resolve_rule_base(
            paper_rule_base() if rule_base is None else rule_base
        )
        given = given_constants(constants, PARTS)
        trend = LossTrend(**given["trend"])
        surface = control_surface(self.rule_base)
        controller = Controller(surface, **given["controller"])
        curvature = Curvature(self._probe_radius, signs=False, squares=False)
        probes = ProbeEveryStep(curvature, trend)
        self.algorithm = Algorithm(probes, self._direction, controller, UnitLength())
        self._parts = {"trend": trend, "controller": controller}
        self.total_steps = total_steps

    # Arguments that parts have taken over can be read, and not assigned.

    @property
    def beta_1(self) -> float:
        """Momentum of the gradient."""
        return self._direction.beta_1

    @property
    def epsilon(self) -> float:
        """What is added to the curvature."""
        return self._direction.epsilon

    @property
    def probe_radius(self) -> float:
        """How far a curvature probe shifts every weight."""
        return self._probe_radius

    @property
    def constants(self) -> dict[str, dict[str, float]]:
        """The constants of the parts, by part and name."""
        return {name: constants_of(part) for name, part in self._parts.items()}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {
            "beta_1": self.beta_1,
            "epsilon": self.epsilon,
            "probe_radius": self.probe_radius,
            "total_steps": self.total_steps,
            "rule_base": self.rule_base.to_dict(),
            "constants": self.constants,
        }
