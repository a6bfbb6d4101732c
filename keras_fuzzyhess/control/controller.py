"""What the fuzzy system is told and what is done with its answer.

Pure functions of signals, and the state that they move. Inputs of the rule base are
the trend of the loss and the progress of the training, as in arXiv 2403.15416, and
whether the loss falls as the trend promises; how all are computed is our choice, for
the paper does not publish it.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.constants import check_constants
from keras_fuzzyhess.fuzzy import ControlSurface
from keras_fuzzyhess.parts import Part, scalar


def training_progress(
    step: tf.Tensor, total_steps: tf.Tensor | int, half_way: float
) -> tf.Tensor:
    """How far the training has come.

    Args:
        step: Scalar integer, number of steps taken.
        total_steps: Scalar integer, number of steps planned; 0 where there is no plan.
            A tensor, so that a plan may change in a graph that is traced already.
        half_way: Positive float, the step at which progress is one half without a plan.

    Returns:
        Scalar in [0, 1]: `step / total_steps`, or without a plan
        `step / (step + half_way)`, which rises from 0 and never reaches 1.

    Example:

    >>> float(training_progress(tf.constant(1000), 0, half_way=1000.0))
    0.5
    >>> float(training_progress(tf.constant(30), total_steps=40, half_way=1000.0))
    0.75
    """
    step, total = tf.cast(step, tf.float32), tf.cast(total_steps, tf.float32)
    planned = tf.minimum(tf.math.divide_no_nan(step, total), 1.0)
    return tf.where(total > 0, planned, step / (step + half_way))


def annealing_factor(
    step: tf.Tensor,
    plan_start: tf.Tensor | int,
    total_steps: tf.Tensor | int,
    share: float,
) -> tf.Tensor:
    """What steps are multiplied by near the end of a plan.

    After the plan it is 1 again: whoever goes on training wants to get somewhere.

    Args:
        step: Scalar integer, number of steps taken before.
        plan_start: Scalar integer, how many were taken when the plan was made.
        total_steps: Scalar integer, number of steps planned; 0 where there is no plan.
        share: Float in [0, 1], the last share of the plan, in which steps get shorter.

    Returns:
        Scalar in (0, 1]: `min(1, left / share)`, with the share of the plan that is
        left, `left = (total_steps - step) / (total_steps - plan_start)`; 1 without a
        plan and after it.

    Example:

    >>> [float(annealing_factor(tf.constant(n), 0, 8, 0.5)) for n in (4, 6, 7, 8)]
    [1.0, 0.5, 0.25, 1.0]
    """
    # Integers first: of large ones float32 does not keep the difference.
    step, start, total = (
        tf.cast(count, tf.int64) for count in (step, plan_start, total_steps)
    )
    left = tf.cast(total - step, tf.float32)
    left = tf.math.divide_no_nan(left, tf.cast(total - start, tf.float32))
    is_last = (step < total) & (start < total) & (left < share)
    return tf.where(is_last, tf.math.divide_no_nan(left, share), 1.0)


def controlled_gain(
    gain: tf.Tensor,
    output: dict[str, tf.Tensor],
    step: tf.Tensor,
    slowing: float,
    smallest: float,
    largest: float,
) -> tf.Tensor:
    """The gain after the fuzzy system has spoken.

    Rate law, for a rule base with the output `gain_rate` (our choice): the output is
    the relative change per step at the start of the training, which slows down as the
    training goes on,

        c <- clip(c exp(gain_rate / (1 + step / slowing)), smallest, largest) ,

    so that the gain can travel as far from step 1,000 to 2,000 as from 10,000 to
    20,000.
    Direct law, for one with the output `gain` (arXiv 2403.15416): the output is the
    factor of the learning rate itself.

    Args:
        gain: Scalar, the gain `c` of the step before.
        output: Outputs of the control surface by name.
        step: Scalar integer, number of steps taken before.
        slowing: Positive float, the step at which rates of the gain count half.
        smallest: Float in (0, 1], lower bound of the gain in the rate law.
        largest: Float of at least 1, its upper bound.

    Returns:
        Scalar.

    Example:

    >>> rate, direct = {"gain_rate": tf.constant(0.5)}, {"gain": tf.constant(0.25)}
    >>> float(controlled_gain(tf.constant(999.0), rate, 0, 100.0, 0.001, 1000.0))
    1000.0
    >>> float(controlled_gain(tf.constant(9.9), direct, 0, 100.0, 0.001, 1000.0))
    0.25
    """
    if "gain" in output:
        return output["gain"]
    rate = output["gain_rate"] / (1 + tf.cast(step, tf.float32) / slowing)
    return tf.clip_by_value(gain * tf.exp(rate), smallest, largest)


@dataclasses.dataclass(eq=False)
class Controller(Part):
    """Gain and curvature momentum, as a compiled rule base sets them.

    Args:
        surface: `ControlSurface`.
        smallest_gain: Float in [1e-6, 1], lower bound of the gain in the rate law.
            Bounds are wide, for the first step length is no more than a guess.
            Defaults to `1e-3`.
        largest_gain: Float in [1, 1e6], its upper bound. Defaults to `1e3`.
        slowing: Float in [1e-3, 1e12], number of steps after which rates of the gain
            count half. Defaults to `100.0`.
        half_way: Float in [1e-3, 1e12], without `total_steps` the number of steps after
            which progress is one half. Defaults to `1000.0`.
        annealing: Float in [0, 1], in the rate law the last share of a plan in which
            steps get shorter, in a line towards 0, once the weights swing. From there
            to the end of the plan the gain is held. Defaults to `0.3`.
        swinging: Float in [0, 1]: weights swing where the trend is below minus this.
            Defaults to `0.2`, half-way to where the default rules hold the gain. Rules
            that hold it at a smaller swing want a smaller one.

    Raises:
        ValueError: if a constant is out of its range.

    Source: control by rules is that of arXiv 2403.15416; the constants are our choice.

    Attributes:
        planned: Integer or None, the number of steps planned when it is built.
        horizon: Integer variable, the number of steps planned since; 0 without a plan.
        plan_start: Integer variable, how many were taken when that plan was made.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> from keras_fuzzyhess.fuzzy import compile_surface, default_rule_base
    >>> controller = Controller(compile_surface(default_rule_base()))
    >>> controller.build([], FuzzyHess().add_variable)
    >>> controller.update(tf.constant(1.0), tf.constant(1.0), tf.constant(0))
    >>> float(controller.gain) > 1
    True
    """

    surface: ControlSurface
    smallest_gain: float = 1e-3
    largest_gain: float = 1e3
    slowing: float = 100.0
    half_way: float = 1000.0
    annealing: float = 0.3
    swinging: float = 0.2

    def __post_init__(self) -> None:
        check_constants(
            self,
            smallest_gain=(1e-6, 1),
            largest_gain=(1, 1e6),
            slowing=(1e-3, 1e12),
            half_way=(1e-3, 1e12),
            annealing=(0, 1),
            swinging=(0, 1),
        )
        self.planned: int | None = None

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates gain, momentum and plan."""
        self._gain = scalar(add, "gain", 1.0)
        self._beta_3 = scalar(add, "beta_3")
        planned = keras.initializers.Constant(self.planned or 0)
        self.horizon = add((), planned, dtype="int", name="total_steps")
        self.plan_start = add((), "zeros", dtype="int", name="plan_start")

    @property
    def gain(self) -> tf.Tensor:
        """Scalar, `c`."""
        return self._gain.value

    @property
    def beta_3(self) -> tf.Tensor:
        """Scalar in [0, 1), as of the last step."""
        return self._beta_3.value

    def progress(self, step: tf.Tensor) -> tf.Tensor:
        """How far the training has come after some steps."""
        return training_progress(step, self.horizon.value, self.half_way)

    def plan(self, total_steps: int | None, taken: int) -> None:
        """Makes a plan after so many steps, or gives up the one that there is.

        One that is not over goes on where it is made again, as by a script that was
        stopped and starts anew from what it saved.
        """
        if taken < (total_steps or 0) == int(self.horizon.numpy()):
            return
        self.horizon.assign(total_steps or 0)
        self.plan_start.assign(taken)

    def shortening(self, trend: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """What a step is multiplied by at the end of a plan; below 1 the gain is held.

        1 while the weights are ahead of their average, for then shorter steps get less
        far; and in the direct law, whose rules see how long the training goes on.

        Args:
            trend: Scalar in [-1, 1], negative when the weights swing.
            step: Scalar integer, number of steps taken before.
        """
        if self.surface.law == "direct":
            return tf.constant(1.0)
        factor = annealing_factor(
            step, self.plan_start.value, self.horizon.value, self.annealing
        )
        return tf.where(trend < -self.swinging, factor, 1.0)

    def decide(
        self, trend: tf.Tensor, fall: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What the rule base says.

        Args:
            trend: Scalar in [-1, 1], positive when the loss falls.
            fall: Scalar in [-1, 1], 1 when it falls as the trend promises.
            step: Scalar integer, number of steps taken before.

        Returns:
            Dict of its outputs by name.
        """
        return self.surface.look_up(trend, self.progress(step), fall)

    def update(
        self,
        trend: tf.Tensor,
        fall: tf.Tensor,
        step: tf.Tensor,
        hold: tf.Tensor | bool = False,
    ) -> None:
        """Sets gain and momentum for this step; with `hold` rates do not move it."""
        output = self.decide(trend, fall, step)
        if "gain_rate" in output and hold is not False:
            output["gain_rate"] = tf.where(hold, 0.0, output["gain_rate"])
        self._beta_3.assign(output["beta_3"])
        self._gain.assign(
            controlled_gain(
                self._gain.value,
                output,
                step,
                self.slowing,
                self.smallest_gain,
                self.largest_gain,
            )
        )
