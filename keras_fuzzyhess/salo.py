"""SALO: the optimizer of arXiv 2403.15416, as far as the paper tells."""

import keras
import tensorflow as tf

from keras_fuzzyhess import controller
from keras_fuzzyhess.arguments import check_between
from keras_fuzzyhess.fuzzy import paper_rule_base
from keras_fuzzyhess.fuzzy_controlled import FuzzyControlledOptimizer
from keras_fuzzyhess.minibatch import Probe


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
class SALO(FuzzyControlledOptimizer):
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
        total_steps: As in `FuzzyHess`. Defaults to `None`.
        rule_base: As in `FuzzyHess`. Defaults to
            `keras_fuzzyhess.fuzzy.paper_rule_base()`.
        name: String, the optimizer's name.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`, as in
            `FuzzyHess`.

    Raises:
        ValueError: if an argument is out of its range, or if `rule_base` cannot be
            used.
        TypeError: if `rule_base` is of none of the types that `FuzzyHess` takes.
        OSError: if the file that it names cannot be read.

    Example:

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
        **kwargs,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            probe_radius,
            total_steps,
            paper_rule_base() if rule_base is None else rule_base,
            name=name,
            **kwargs,
        )
        self.epsilon = check_between("epsilon", epsilon, 1e-8, 1e8)

    def build(self, variables) -> None:
        """Creates the optimizer's variables, two numbers for each weight."""
        if self.built:
            return
        super().build(variables)
        self._loss_statistics = [
            self.add_scalar(f"loss_{field}")
            for field in controller.LossStatistics._fields
        ]
        self.restore_loaded_state()

    def is_probe_step(self) -> bool:
        """Every step takes a second gradient."""
        return True

    def shifts(
        self, gradients: list[tf.Tensor], variables: list[tf.Variable]
    ) -> list[tf.Tensor]:
        """All weights are advanced by the same `r`."""
        return [
            tf.fill(g.shape, tf.cast(self.probe_radius, g.dtype)) for g in gradients
        ]

    def observe(self, probe: Probe, variables: list[tf.Variable]) -> None:
        """Averages the loss and the quotients."""
        statistics = controller.observe_loss(
            self._read_loss_statistics(), tf.cast(probe.loss, tf.float32)
        )
        for variable, value in zip(self._loss_statistics, statistics, strict=True):
            variable.assign(value)
        self.observe_curvature(probe, variables)
        self._probes.assign_add(1)

    def step_length(self) -> tf.Tensor:
        """1: the paper's learning rate comes from the fuzzy system alone."""
        return tf.constant(1.0)

    def loss_trend(self) -> tf.Tensor:
        """How the minibatch losses move, in units of their own scatter."""
        return controller.loss_trend(self._read_loss_statistics())

    def _read_loss_statistics(self) -> controller.LossStatistics:
        return controller.LossStatistics(*(v.value for v in self._loss_statistics))

    def curvature_scale(self, averages: list[tf.Tensor]) -> list[tf.Tensor]:
        """`|d|`."""
        return [tf.abs(d) for d in averages]

    def step(
        self,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """`m / (|d| + epsilon)`, and `learning_rate gain`."""
        momentum = self.move_average(self._momentum, gradients, self.beta_1, variables)
        scales = self.measured_curvature(variables)
        direction = [
            m / (scale + self.epsilon)
            for m, scale in zip(momentum, scales, strict=True)
        ]
        return direction, learning_rate * self.update_gain()

    def get_config(self) -> dict:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {"epsilon": self.epsilon}
