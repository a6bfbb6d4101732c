"""The method on a page: measure, decide, direct, step."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.control.controller import Controller
from keras_fuzzyhess.direction.direction import Direction, checked_course
from keras_fuzzyhess.measure.probe import Probe
from keras_fuzzyhess.measure.probes import Keep, ProbeEveryStep, ProbesInTurn
from keras_fuzzyhess.measure.step_length import StepLength, UnitLength
from keras_fuzzyhess.parts import Step, named


class Algorithm:
    """What FuzzyHess and SALO do with gradients; of Keras it knows nothing.

    ```
    probes      take a second gradient at shifted weights now and then, watch the
                losses, and tell the trend of the loss, and whether it falls as promised
    direction   where to go: vectors, from gradients and what probes have measured
    controller  gain and momentum of the curvature, from these and progress
    length      how long a step of gain 1 is
    step        w <- w - learning_rate gain shortening length vectors, where
                shortening is 1, or less near the end of a plan
    ```

    Args:
        probes: `ProbesInTurn` or `ProbeEveryStep`.
        direction: `Direction`.
        controller: `Controller`.
        length: `StepLength` or `UnitLength`.
    """

    def __init__(
        self,
        probes: ProbesInTurn | ProbeEveryStep,
        direction: Direction,
        controller: Controller,
        length: StepLength | UnitLength,
    ) -> None:
        self.probes, self.direction = probes, direction
        self.controller, self.length = controller, length

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the state of all parts, by `add` of Keras's `add_variable`.

        Each variable is called after its part, and one of the direction after its class
        as well, so that the saved state of one is not taken for that of another.
        """
        kind = type(self.direction).__name__
        self.direction.build(weights, named(add, f"direction.{kind}"))
        self.probes.build(weights, named(add, "probes"))
        self.controller.build(weights, named(add, "controller"))
        self.length.build(weights, named(add, "length"))

    def observe(
        self, probe: Probe, step: Step, tells: tf.Tensor, keep_or_drop: Keep
    ) -> None:
        """Keeps what a second gradient tells.

        Args:
            probe: `Probe`.
            step: `Step`.
            tells: Scalar boolean, whether a loss at the average tells anything.
            keep_or_drop: `Keep`.
        """

        def beta_3():
            return self.controller.decide(*self.signals, step.number)["beta_3"]

        # Swings of steps that get shorter do not tell what the gain should be.
        tells &= self.controller.shortening(self.trend, step.number) >= 1
        gain = self.controller.gain
        self.probes.observe(probe, step, gain, beta_3, tells, keep_or_drop)

    def watch(self, loss: tf.Tensor) -> None:
        """Takes note of the loss of a step that is taken, a scalar."""
        self.probes.watch(loss)

    def update(
        self,
        gradients: list[tf.Tensor],
        step: Step,
        learning_rate: tf.Tensor,
        hold: tf.Tensor | bool,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """A step: vectors, and the multiple of them that is to be subtracted.

        Args:
            gradients: List of packed vectors.
            step: `Step`.
            learning_rate: Scalar.
            hold: Scalar boolean, whether rates of the gain are not to move it.
        """
        course = self.direction(gradients, self.curvature, step)
        course = checked_course(course, gradients)
        trend, fall = self.signals
        shortening = self.controller.shortening(trend, step.number)
        self.controller.update(trend, fall, step.number, hold | (shortening < 1))
        length = course.factor * learning_rate * self.controller.gain * shortening
        return course.vectors, length * self.length.along(course.size)

    @property
    def curvature(self):
        """What probes have measured, or None if the direction does not ask for it."""
        return self.probes.curvature

    @property
    def signals(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What probes tell the rules: the trend of the loss, and its fall."""
        return self.trend, self.probes.fall

    @property
    def trend(self) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the loss falls."""
        return self.probes.trend(self.controller.gain)
