"""How far gradients turn back from step to step, and how long to remember them then.

Where minibatches differ much, a gradient tells nothing of the next but their mean, and
a short memory hears soonest that this has turned. Where they hardly differ, most of a
gradient is the way back from one wall of a valley to the other. A long memory averages
that out, and leaves what leads along the valley.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_between, check_momentum
from keras_fuzzyhess.parts import Part, scalar
from keras_fuzzyhess.state.moving_average import mix


def oscillation(agreement: tf.Tensor, rate: tf.Tensor | float) -> tf.Tensor:
    """Which share of a gradient opposes the gradients before it.

        o = -(2 - rate) / rate <g, m'> / <g, g> ,    m = m' + rate (g - m') ,
        <g, m'> / <g, g> = (<g, m> / <g, g> - rate) / (1 - rate)

    It is 1 where every gradient is the opposite of the one before, for then `m'` is
    `-g rate / (2 - rate)`, and in the mean 0 where gradients are independent: both
    whatever the memory. It is negative where gradients go on as before, the more so the
    longer the memory; and swings that take many steps count the more the longer it is.

    Args:
        agreement: Scalar, `<g, m> / <g, g>`.
        rate: Scalar in (0, 1), by which the momentum `m` has moved to the gradient `g`.

    Returns:
        Scalar.

    Example:

    >>> momentum, gradient = 0.0, 1.0
    >>> for _ in range(99):
    ...     gradient = -gradient
    ...     momentum += 0.1 * (gradient - momentum)
    >>> round(float(oscillation(tf.constant(momentum / gradient), 0.1)), 4)
    1.0
    """
    before = (agreement - rate) / (1 - rate)
    return -(2 - rate) / rate * before


def momentum_of(share: tf.Tensor, shortest: float, longest: float) -> tf.Tensor:
    """The momentum of a memory between two, as a share of the way in its logarithm.

        1 - (1 - shortest)**(1 - share) (1 - longest)**share

    Args:
        share: Scalar in [0, 1].
        shortest: Float in [0, 1), the momentum at 0.
        longest: Float in [0, 1), the momentum at 1.

    Returns:
        Scalar in [0, 1).

    Example:

    >>> round(float(momentum_of(tf.constant(0.5), 0.9, 0.975)), 4)
    0.95
    """
    ratio = (1 - longest) / (1 - shortest)
    return 1 - (1 - shortest) * tf.pow(tf.constant(ratio, tf.float32), share)


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class OscillationMemory(Part):
    """A momentum that remembers gradients for longer where they oscillate.

    Of the average oscillation `o` over about the last `1 / rate` steps,

        share = clip((o - independent) / (opposed - independent), 0, 1) ,

    of the way from the momentum that a direction has without it, in the logarithm of
    the memory, to `longest`. The share of the last gradient in it goes the same way to
    `1 - longest`, which is Nesterov's.

    Args:
        longest: Float in [0, 1), the momentum where gradients are opposed. A direction
            whose own is larger, or 0, keeps both. Defaults to `0.98`, about 50 steps.
        independent: Float in [-10, 10]: up to this oscillation gradients count as
            independent. Defaults to `0.25`: noise alone has 0 in the mean, and where
            longer memories lost (`benchmarks/README.md`) it was hardly ever more.
        opposed: Float in [-10, 10], more than `independent`, from which on they count
            as opposed. Defaults to `0.5`.
        rate: Float in [0, 1], of the average. Defaults to `0.015`, about 67 steps.
        strongest: Float of at least 0: no step counts for more oscillation than this,
            nor for less than its negative. Defaults to `2.0`.

    Raises:
        ValueError: if a constant is out of its range.

    Source: our choice.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> memory = OscillationMemory()
    >>> memory.build([], FuzzyHess().add_variable)
    >>> momentum, share = memory.momentum(0.9, 0.2)
    >>> round(float(momentum), 3), round(float(share), 3)
    (0.9, 0.2)
    >>> for _ in range(200):  # as if each opposed the one before
    ...     memory.observe(tf.constant(0.1 - 0.1 / 1.9 * 0.9), tf.constant(0.1))
    >>> momentum, share = memory.momentum(0.9, 0.2)
    >>> round(float(momentum), 3), round(float(share), 3)
    (0.98, 0.02)
    """

    longest: float = 0.98
    independent: float = 0.25
    opposed: float = 0.5
    rate: float = 0.015
    strongest: float = 2.0

    def __post_init__(self) -> None:
        self.longest = check_momentum("longest", self.longest)
        for name, low, high in (
            ("independent", -10, 10),
            ("opposed", -10, 10),
            ("rate", 0, 1),
            ("strongest", 0, 1e6),
        ):
            setattr(self, name, check_between(name, getattr(self, name), low, high))
        if not self.independent < self.opposed <= self.strongest:
            raise ValueError(
                "`opposed` must be more than `independent` and at most `strongest`. "
                f"Received: opposed={self.opposed}, independent={self.independent}, "
                f"strongest={self.strongest}"
            )

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the average of the oscillation."""
        self._oscillation = scalar(add, "oscillation")

    @property
    def value(self) -> tf.Tensor:
        """Scalar, the average oscillation: 0 for independent gradients, 1 for opposed.

        It is between `-strongest` and `strongest`.
        """
        return self._oscillation.value

    def changes(self, beta_1: float) -> bool:
        """Whether it has a say in a direction's own momentum.

        Of no momentum at all it is not known what a gradient opposes.
        """
        return 0 < beta_1 < self.longest

    def momentum(
        self, beta_1: float, gradient_share: float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Both for this step, from those that a direction has without a memory.

        Args:
            beta_1: Float in (0, longest).
            gradient_share: Float in [0, 1), the share of the last gradient.

        Returns:
            Tuple of scalars.
        """
        way = (self.value - self.independent) / (self.opposed - self.independent)
        way = tf.clip_by_value(way, 0.0, 1.0)
        least = min(gradient_share, 1 - self.longest)
        return momentum_of(way, beta_1, self.longest), mix(gradient_share, least, way)

    def observe(self, agreement: tf.Tensor, rate: tf.Tensor) -> None:
        """Takes a step into the average.

        Args:
            agreement: Scalar, as `oscillation` takes it. What is not finite, as in the
                first step or where all gradients are zeros, tells nothing.
            rate: Scalar, likewise.
        """
        seen = oscillation(agreement, rate)
        bounded = tf.clip_by_value(seen, -self.strongest, self.strongest)
        average = mix(self.value, bounded, self.rate)
        is_finite = tf.math.is_finite(seen)
        self._oscillation.assign(tf.where(is_finite, average, self.value))
