"""A loss that has risen a hundredfold and stays there is told once.

Nothing else says so: its steps are finite, and `fit` goes on. But not every loss that
is large has diverged: some begin at zero, some change sign, some minibatches stand out.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

LIMIT = 100.0
"""A loss is high from so many times its level. Our choice."""

PATIENCE = 100
"""After so many more high steps than others there is a warning. Our choice."""

WINDOW = 1000
"""The level is the average over about so many steps, in which it rises by no more than
a factor of 2.7: a hundredfold takes it thousands of steps. Our choice."""

LEAST = 0.1
"""The level begins with so much at least, for a first loss may be nearly zero while
others are not. Our choice."""


class Losses(NamedTuple):
    """What is kept of the losses so far, as scalars.

    Attributes:
        level: Average of absolute losses, which rises slowly; 0 until one is not 0.
        first: The first of these.
        high: How many more steps were high than not, counted from 0 up.
        latest: The latest loss.

    Example:

    >>> losses = Losses(*map(tf.constant, (0.5, 2.0, 7.0, 0.4)))
    >>> losses = losses.and_then(tf.constant(80.0))
    >>> round(float(losses.level), 4), float(losses.high)
    (0.5005, 8.0)
    >>> losses = losses.and_then(tf.constant(-80.0))  # it has fallen
    >>> round(float(losses.level), 4), float(losses.high)
    (0.501, 7.0)
    """

    level: tf.Tensor
    first: tf.Tensor
    high: tf.Tensor
    latest: tf.Tensor

    def and_then(self, loss: tf.Tensor, window: float = WINDOW) -> "Losses":
        """After one loss more.

        High is what is above both the first loss and a hundred times the level: a loss
        that has come down to nearly nothing may move there. One far below zero is not
        high, for down is where it was to go.

        Args:
            loss: Scalar, float32.
            window: Number of losses over which the level is averaged.
        """
        size = tf.abs(loss)
        begins = tf.equal(self.level, 0.0)
        level = tf.where(begins, tf.maximum(size, LEAST) * tf.sign(size), self.level)
        first = tf.where(begins, size, self.first)
        is_high = loss > tf.maximum(LIMIT * level, first)
        # However large it is, it counts for twice the level.
        counted = tf.minimum(size, 2.0 * level)
        return Losses(
            level + (counted - level) / window,
            first,
            tf.maximum(self.high + tf.where(is_high, 1.0, -1.0), 0.0),
            loss,
        )


class Divergence:
    """Warns once of a loss that has diverged.

    With gradient accumulation each minibatch has its loss, and all numbers of steps
    are those of as many minibatches.

    Args:
        add: `add_variable` of Keras's optimizers.
        minibatches: Integer, how many a step has.
    """

    def __init__(self, add: Callable[..., keras.Variable], minibatches: int) -> None:
        self._patience = float(PATIENCE * minibatches)
        self._window = float(WINDOW * minibatches)
        # One variable, for a step to read and assign several takes longer.
        self._losses = add((len(Losses._fields),), dtype="float32", name="losses")
        self._is_told = add((), dtype="int", name="divergence_is_told")

    def watch(self, loss: tf.Tensor) -> None:
        """Takes note of the loss of a step that is taken, the same in all replicas."""
        vector = tf.convert_to_tensor(self._losses)
        before = Losses(*tf.unstack(vector))
        after = before.and_then(tf.cast(loss, tf.float32), self._window)
        # What has diverged stays so until it is told, and as it was then.
        has_diverged = before.high >= self._patience
        self._losses.assign(tf.where(has_diverged, vector, tf.stack(after)))

    def begin_anew(self) -> None:
        """From the next step on, unless the loss is high: other data may follow."""
        vector = tf.convert_to_tensor(self._losses)
        is_high = Losses(*tf.unstack(vector)).high > 0
        self._losses.assign(tf.where(is_high, vector, tf.zeros_like(vector)))

    def warn(self, optimizer: str, learning_rate: float) -> None:
        """Warns if the loss has diverged and nobody has said so yet.

        Args:
            optimizer: String, the name of its class.
            learning_rate: Float, the present one.
        """
        losses = Losses(*self._losses.numpy().tolist())
        if losses.high < self._patience or int(self._is_told.numpy()):
            return
        self._is_told.assign(1)
        warnings.warn(
            f"The loss that {optimizer} was to lower must stay below {LIMIT:g} times "
            f"its level. Received: one of {losses.latest:.3g} after {PATIENCE} such "
            f"steps, {losses.latest / losses.level:.3g} times its level of "
            f"{losses.level:.3g}. Lower `learning_rate` from {learning_rate:g} to "
            f"{learning_rate / 4:g}, or set `global_clipnorm=1.0`. If the data ask for "
            "such losses, this may be ignored; it is said once.",
            stacklevel=3,
        )
