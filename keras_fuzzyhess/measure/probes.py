"""Which second gradients are taken, and what is kept of each."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.backend.replicas import all_reduce_sum, cond_in_every_replica
from keras_fuzzyhess.measure.averaged_loss import AveragedLossTrend
from keras_fuzzyhess.measure.coming_fall import ComingFall
from keras_fuzzyhess.measure.curvature_average import Curvature
from keras_fuzzyhess.measure.loss_trend import LossTrend
from keras_fuzzyhess.measure.probe import Probe
from keras_fuzzyhess.measure.probe_schedule import DueProbes, ProbeSchedule
from keras_fuzzyhess.measure.step_length import StepLength
from keras_fuzzyhess.parts import Part, Step, named
from keras_fuzzyhess.state.vectors import dot

Keep = Callable[[tf.Tensor, Callable[[], None]], None]
"""Runs a function, or counts a dropped probe where the boolean is false."""


class ProbesInTurn(Part):
    """FuzzyHess's probes: curvature, the loss at the average, and once the length.

    Args:
        curvature: `Curvature`, or None, with which its probes are left out.
        trend: `AveragedLossTrend`.
        coming_fall: `ComingFall`.
        length: `StepLength`.
        schedule: `ProbeSchedule`.
    """

    def __init__(
        self,
        curvature: Curvature | None,
        trend: AveragedLossTrend,
        coming_fall: ComingFall,
        length: StepLength,
        schedule: ProbeSchedule,
    ) -> None:
        self.curvature, self._trend = curvature, trend
        self._coming_fall = coming_fall
        self.length, self._schedule = length, schedule

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates what is kept."""
        if self.curvature is not None:
            self.curvature.build(weights, add)
        self._trend.build(weights, add)
        self._coming_fall.build(weights, named(add, "coming_fall"))

    @property
    def draws_signs(self) -> bool:
        """Whether `shifts` must be given a seed."""
        return self.curvature is not None and self.curvature.signs

    def due(self, step: tf.Tensor) -> DueProbes:
        """Which probe a step takes."""
        due = self._schedule.due(step)
        if self.curvature is None:
            return due._replace(curvature=tf.constant(False))
        return due

    def are_due(self, step: tf.Tensor) -> tf.Tensor:
        """Whether a step takes a probe of any kind."""
        return tf.reduce_any(self.due(step))

    def shifts(
        self,
        gradients: list[tf.Tensor],
        step: Step,
        seed: tf.Tensor | None,
        way_to_average: Callable[[], list[tf.Tensor]],
    ) -> list[tf.Tensor]:
        """Random signs, or the way to the average: at first, the first step undone."""
        if self.curvature is None:
            return way_to_average()
        to_random_side = functools.partial(
            self.curvature.shifts, gradients, seed, step.indices
        )
        return tf.cond(self.due(step.number).curvature, to_random_side, way_to_average)

    def watch(self, loss: tf.Tensor) -> None:
        """Takes note of the loss of a step."""
        self._coming_fall.watch(loss)

    def observe(
        self,
        probe: Probe,
        step: Step,
        gain: tf.Tensor,
        beta_3: Callable[[], tf.Tensor],
        tells: tf.Tensor,
        keep_or_drop: Keep,
    ) -> None:
        """Keeps what the probe tells of curvature, of the loss or of the length.

        Args:
            probe: `Probe`.
            step: `Step`.
            gain: Scalar, with which the weights have come here.
            beta_3: Callable that returns the momentum of the curvature.
            tells: Scalar boolean, whether a loss at the average tells anything.
            keep_or_drop: `Keep`.
        """
        due = self.due(step.number)

        # Each sums over replicas only what it needs: numbers for all weights, or one.
        def observe_loss():
            averaged_loss = all_reduce_sum(probe.shifted_loss)
            least_unit = self._coming_fall.value(averaged_loss)
            statistics = self._trend.observed(
                probe.loss, averaged_loss, gain, least_unit
            )
            keep_or_drop(
                tf.reduce_all(tf.math.is_finite(statistics)),
                lambda: self._trend.keep(statistics, tells),
            )

        def observe_length():
            before = all_reduce_sum(dot(probe.shifted_gradients, probe.shifts))
            after = dot(probe.gradients, probe.shifts)
            keep_or_drop(
                tf.math.is_finite(before) & tf.math.is_finite(after),
                lambda: self.length.shorten(before, after),
            )

        def observe_length_or_loss():
            cond_in_every_replica(due.length, observe_length, observe_loss)

        if self.curvature is None:
            observe_length_or_loss()
            return
        observe_curvature = functools.partial(
            _observe_curvature, self.curvature, probe, step, beta_3, keep_or_drop
        )
        cond_in_every_replica(due.curvature, observe_curvature, observe_length_or_loss)

    def trend(self, gain: tf.Tensor) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the loss falls."""
        return self._trend.value(gain)

    @property
    def fall(self) -> tf.Tensor:
        """Scalar in [-1, 1], 1 when the loss falls as the trend promises."""
        return self._trend.fall()

    @property
    def loss_probes(self) -> tf.Tensor:
        """Scalar, how many losses at the average were measured."""
        return self._trend.count


class ProbeEveryStep(Part):
    """SALO's probes: curvature in every step, and the loss of the step itself.

    Args:
        curvature: `Curvature`.
        trend: `LossTrend`.
    """

    draws_signs = False

    def __init__(self, curvature: Curvature, trend: LossTrend) -> None:
        self.curvature, self._trend = curvature, trend

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates what is kept."""
        self.curvature.build(weights, add)
        self._trend.build(weights, add)

    def are_due(self, step: tf.Tensor) -> bool:
        """Every step takes a second gradient."""
        return True

    def shifts(
        self,
        gradients: list[tf.Tensor],
        step: Step,
        seed: tf.Tensor | None,
        way_to_average: Callable[[], list[tf.Tensor]],
    ) -> list[tf.Tensor]:
        """As the curvature is measured."""
        return self.curvature.shifts(gradients, seed, step.indices)

    def watch(self, loss: tf.Tensor) -> None:
        """Does nothing, for a probe brings the loss of its step."""

    def observe(
        self,
        probe: Probe,
        step: Step,
        gain: tf.Tensor,
        beta_3: Callable[[], tf.Tensor],
        tells: tf.Tensor,
        keep_or_drop: Keep,
    ) -> None:
        """Averages the loss and the quotients; see `ProbesInTurn.observe`."""
        self._trend.observe(probe.loss)
        _observe_curvature(self.curvature, probe, step, beta_3, keep_or_drop)

    def trend(self, gain: tf.Tensor) -> tf.Tensor:
        """Scalar in [-1, 1], positive when the loss falls."""
        return self._trend.value

    @property
    def fall(self) -> tf.Tensor:
        """1: it is not measured, and the trend is that of the loss itself."""
        return tf.constant(1.0)

    @property
    def loss_probes(self) -> tf.Tensor:
        """None is taken."""
        return tf.constant(0.0)


def _observe_curvature(
    curvature: Curvature,
    probe: Probe,
    step: Step,
    beta_3: Callable[[], tf.Tensor],
    keep_or_drop: Keep,
) -> None:
    samples, finite = curvature.samples(
        probe.gradients,
        all_reduce_sum(probe.shifted_gradients),
        probe.shifts,
        step.indices,
    )
    keep_or_drop(finite, lambda: curvature.keep(samples, beta_3(), step))
