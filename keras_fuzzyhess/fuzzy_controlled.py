"""What FuzzyHess and SALO share: momenta, and a fuzzy system that drives them."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_fuzzyhess import arguments, controller, curvature
from keras_fuzzyhess.finite_steps import has_finite_norm
from keras_fuzzyhess.fuzzy import (
    control_surface,
    resolve_rule_base,
    restore_rule_base,
)
from keras_fuzzyhess.mean_squares import MeanSquares
from keras_fuzzyhess.minibatch import Probe
from keras_fuzzyhess.moving_average import unbiased_rate
from keras_fuzzyhess.outer_product import mean
from keras_fuzzyhess.packing import PackedState
from keras_fuzzyhess.replicas import all_reduce_sum
from keras_fuzzyhess.saved_state import SavedStateOptimizer
from keras_fuzzyhess.second_gradient import SecondGradientOptimizer


class FuzzyControlledOptimizer(SavedStateOptimizer, SecondGradientOptimizer):
    """Base of optimizers whose gain and curvature momentum a rule base drives.

    It keeps the moving averages of the gradient (`beta_1`) and of the curvature samples
    (`beta_3`, from the rule base).
    A subclass implements `loss_trend`, `step_length` and `curvature_scale` beside what
    `SecondGradientOptimizer` asks for, and if it does not average the samples
    themselves, `curvature_state`.

    Args:
        learning_rate: Float, schedule or callable.
        beta_1: Float in [0, 1), momentum of the gradient.
        probe_radius: Positive float, how far a curvature probe shifts each weight.
        total_steps: Integer or None, the planned number of steps.
        rule_base: What `keras_fuzzyhess.fuzzy.resolve_rule_base` accepts.
        **kwargs: The other arguments of `keras.optimizers.Optimizer`.
    """

    first_step_length = 0.0  # in `diagnostics` before the first step

    def __init__(
        self, learning_rate, beta_1, probe_radius, total_steps, rule_base, **kwargs
    ) -> None:
        kwargs |= {"learning_rate": learning_rate}
        arguments.refuse_unknown(type(self), kwargs)
        super().__init__(**arguments.checked_keras_arguments(kwargs))
        self.beta_1 = arguments.check_momentum("beta_1", beta_1)
        self.probe_radius = arguments.check_between(
            "probe_radius", probe_radius, 1e-8, 1e3
        )
        self.total_steps = total_steps
        self.rule_base = resolve_rule_base(rule_base)
        self._surface = control_surface(self.rule_base)

    def build(self, variables) -> None:
        """Creates momenta of `variables` and the scalars of the controller.

        Raises:
            ValueError: if there are weights, but none of them has an element.
        """
        if self.built:
            return
        arguments.check_elements(type(self).__name__, variables)
        super().build(variables)
        variables = self.stepped(variables)
        self._places = {self._var_key(v): i for i, v in enumerate(variables)}
        self._momentum = PackedState(variables, self.add_variable, "momentum")
        self._curvature = self.curvature_state(variables)
        self._gain = self.add_scalar("gain", 1.0)
        self._beta_3 = self.add_scalar("beta_3")
        self._curvature_weight = self.add_scalar("curvature_weight")
        self._mean_curvature = self.add_scalar("mean_curvature")
        self._probes = self.add_variable((), dtype="int", name="probes")
        self._horizon = self.add_variable(
            (),
            keras.initializers.Constant(self._total_steps or 0),
            dtype="int",
            name="total_steps",
        )

    def add_scalar(self, name: str, value: float = 0.0) -> keras.Variable:
        """Adds a float32 scalar to the state."""
        initializer = keras.initializers.Constant(value)
        return self.add_variable((), initializer, "float32", name=name)

    @property
    def total_steps(self) -> int | None:
        """The planned number of steps, or None without a plan; may be assigned.

        It is part of the optimizer's state, so that a plan made between two calls of
        `fit` counts from the next step on, in a train function traced before as well.

        Raises:
            ValueError: when assigned what is neither a positive integer nor None.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> optimizer = FuzzyHess()
        >>> optimizer.build([keras.Variable([1.0, 2.0])])
        >>> optimizer.total_steps = 500
        >>> optimizer.total_steps
        500
        """
        if not self.built:
            return self._total_steps
        return int(self._horizon.numpy()) or None

    @total_steps.setter
    def total_steps(self, total_steps: int | None) -> None:
        if total_steps is not None:
            total_steps = arguments.check_integer(
                "total_steps", total_steps, 1, " or None"
            )
        self._total_steps = total_steps
        if self.built:
            self._horizon.assign(total_steps or 0)

    # What a subclass implements.

    def loss_trend(self) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the loss falls: input of the rule base."""
        raise NotImplementedError

    def step_length(self) -> tf.Tensor:
        """Scalar by which the learning rate and the gain are multiplied."""
        raise NotImplementedError

    def curvature_scale(self, averages: list) -> list:
        """Vectors or outer products, not negative, that averages stand for."""
        raise NotImplementedError

    def curvature_state(
        self, variables: Sequence[tf.Variable]
    ) -> PackedState | MeanSquares:
        """Where averages of the curvature are kept."""
        return PackedState(variables, self.add_variable, "curvature")

    # Measure.

    def observe_curvature(self, probe: Probe, variables: Sequence[tf.Variable]) -> None:
        """Takes the quotients of a curvature probe into the averages."""
        samples = curvature.diagonal_sample(
            probe.gradients, all_reduce_sum(probe.shifted_gradients), probe.shifts
        )
        self.average_curvature(samples, variables)

    def average_curvature(
        self, samples: list[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """Takes samples into the average, with the weight `1 - beta_3`.

        Where the sum of their squares is not finite, the probe is dropped.
        """

        def keep():
            rate, weight = unbiased_rate(
                1 - self._control()["beta_3"], self._curvature_weight.value
            )
            averages = self._curvature.move(samples, rate, self._indices(variables))
            self._curvature_weight.assign(weight)
            self._mean_curvature.assign(mean(self.curvature_scale(averages)))

        self.keep_or_drop(has_finite_norm(samples), keep)

    # Decide.

    def update_gain(self) -> tf.Tensor:
        """Asks the rule base for this step's gain and curvature momentum."""
        output = self._control()
        self._beta_3.assign(output["beta_3"])
        gain = controller.controlled_gain(self._gain.value, output, self.iterations)
        self._gain.assign(gain)
        return self._gain.value

    def _control(self) -> dict[str, tf.Tensor]:
        return self._surface.look_up(
            loss_trend=self.loss_trend(),
            progress=self._progress(),
        )

    def _progress(self) -> tf.Tensor:
        return controller.training_progress(self.iterations, self._horizon.value)

    # Apply.

    def move_average(
        self,
        average: PackedState | MeanSquares,
        values: list[tf.Tensor],
        momentum: float,
        variables: Sequence[tf.Variable],
    ) -> list:
        """`average <- momentum average + (1 - momentum) values`, bias-corrected.

        Their squares, if these are what the state keeps.
        """
        weight = 1 - momentum ** tf.cast(self.iterations, tf.float32)
        rate, _ = unbiased_rate(1 - momentum, weight)
        return average.move(values, rate, self._indices(variables))

    def measured_curvature(self, variables: Sequence[tf.Variable]) -> list:
        """The scale of the curvature as it has been measured so far."""
        return self.curvature_scale(self._curvature.read(self._indices(variables)))

    def _indices(self, variables: Sequence[tf.Variable]) -> list[int]:
        return [self._places[self._var_key(v)] for v in variables]

    # Show and save.

    @property
    def diagnostics(self) -> dict[str, float]:
        """What the optimizer has measured and decided, as a dict of numbers.

        - `step_length`: length of the first step, `a`, in units of the weights, less
          if that was too long; 1 for SALO, which has none.
        - `gain`: factor `c` that the rule base has set.
        - `beta_3`: momentum of the curvature, in [0, 1).
        - `loss_trend`: in [-1, 1], positive when the loss falls.
        - `progress`: in [0, 1].
        - `mean_curvature`: mean over all weights of the curvature's scale, in units
          of loss per squared weight.
        - `probes`: gradient evaluations beyond one a step, so far.
        - `skipped_steps`: minibatches so far whose loss or gradient was not finite.
        - `skipped_in_a_row`: those of them since the last step that was taken.
        - `dropped_probes`: probes so far that measured nothing finite.

        Before the optimizer is built, they are those from before the first step.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> optimizer = FuzzyHess()
        >>> optimizer.diagnostics["gain"], optimizer.diagnostics["probes"]
        (1.0, 0)
        """
        if not self.built:
            return _AT_START | {"step_length": self.first_step_length}
        signals = {
            "step_length": self.step_length(),
            "gain": self._gain.value,
            "beta_3": self._beta_3.value,
            "loss_trend": self.loss_trend(),
            "progress": self._progress(),
            "mean_curvature": self._mean_curvature.value,
            "probes": self._probes.value,
            "skipped_steps": self._skipped_steps.value,
            "skipped_in_a_row": self._skipped_in_a_row.value,
            "dropped_probes": self._dropped_probes.value,
        }
        return {
            name: tf.convert_to_tensor(signal).numpy().item()
            for name, signal in signals.items()
        }

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer, without its state."""
        return super().get_config() | {
            "beta_1": self.beta_1,
            "probe_radius": self.probe_radius,
            "total_steps": self.total_steps,
            "rule_base": self.rule_base.to_dict(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described, or with defaults for what lacks.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> float(FuzzyHess.from_config({"learning_rate": 0.5}).learning_rate)
        0.5
        """
        config = dict(config)  # Keras writes into it
        if config.get("rule_base") is not None:
            config["rule_base"] = restore_rule_base(config["rule_base"])
        return super().from_config(config, custom_objects)


_AT_START = {
    "step_length": 0.0,
    "gain": 1.0,
    "beta_3": 0.0,
    "loss_trend": 0.0,
    "progress": 0.0,
    "mean_curvature": 0.0,
    "probes": 0,
    "skipped_steps": 0,
    "skipped_in_a_row": 0,
    "dropped_probes": 0,
}
"""The diagnostics before the first step."""
