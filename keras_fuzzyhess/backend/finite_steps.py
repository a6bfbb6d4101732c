"""Steps that are not finite are skipped, as if their minibatch had not been there.

A NaN in the data, an overflow in the loss or a gradient of `sqrt` at zero would enter
every moving average and stay. So a step looks first whether its loss and its gradient
are finite, and only then touches anything, as Keras's `LossScaleOptimizer` does.
"""

import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.backend.replicas import cond_in_every_replica
from keras_fuzzyhess.state.vectors import has_finite_norm

PATIENCE = 10
"""After so many skipped steps in a row there is a warning. Our choice."""


def is_finite_step(loss: tf.Tensor, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether a step can be taken on this loss and gradient.

    The gradient counts as infinite where the sum of its squares overflows float32,
    beyond a norm of about `1.8e19`: the optimizer averages squares, and an infinite
    one would never leave the average. In float64 as well, for means over all weights
    are taken in float32.

    Args:
        loss: Scalar, which must be finite as a float32 number.
        gradients: List of tensors, float32 or float64.

    Returns:
        Scalar boolean tensor.

    Example:

    >>> gradient = tf.constant([1e18, -2.0])
    >>> bool(is_finite_step(tf.constant(1e30), [gradient]))
    True
    >>> bool(is_finite_step(tf.constant(1e30), [100 * gradient]))
    False
    >>> bool(is_finite_step(tf.constant(float("nan")), [gradient]))
    False
    """
    is_finite_loss = tf.math.is_finite(tf.cast(loss, tf.float32))
    return is_finite_loss & has_finite_norm(gradients)


class FiniteSteps:
    """Counts steps that are skipped and probes that are dropped.

    A skipped step changes nothing but the counters here: no weight, no average, no
    accumulated gradient, no random number, and not `iterations`, on which schedules
    and probes depend. A dropped probe leaves out what the probe has measured; the
    step itself is taken.

    Args:
        add: `add_variable` of Keras's optimizers.
    """

    def __init__(self, add: Callable[..., keras.Variable]) -> None:
        self.skipped = add((), dtype="int", name="skipped_steps")
        self.skipped_in_a_row = add((), dtype="int", name="skipped_in_a_row")
        # Python cannot warn from a compiled step; what it has to say waits here.
        self._warnings_due = add((), dtype="int", name="skip_warnings_due")
        self.dropped_probes = add((), dtype="int", name="dropped_probes")

    def take_or_skip(self, finite: tf.Tensor, take_step: Callable[[], None]) -> None:
        """Takes the step if `finite`, which is the same in all replicas."""

        def take():
            self.skipped_in_a_row.assign(0)
            take_step()

        def skip():
            in_a_row = self.skipped_in_a_row.value + 1
            is_due = tf.equal(in_a_row, PATIENCE)
            self.skipped_in_a_row.assign(in_a_row)
            self._warnings_due.assign_add(tf.cast(is_due, in_a_row.dtype))
            self.skipped.assign_add(1)

        cond_in_every_replica(finite, take, skip)

    def keep_or_drop(self, finite: tf.Tensor, keep_probe: Callable[[], None]) -> None:
        """Keeps a probe if `finite`, which is the same in all replicas."""

        def drop():
            self.dropped_probes.assign_add(1)

        cond_in_every_replica(finite, keep_probe, drop)

    def warn(self, optimizer: str) -> None:
        """Warns if ten steps in a row were skipped since it was called last."""
        if int(self._warnings_due.numpy()) == 0:
            return
        self._warnings_due.assign(0)
        warnings.warn(
            f"{optimizer} skipped {PATIENCE} steps in a row or more, for "
            "their loss or gradient was not finite: "
            f"{int(self.skipped.numpy())} of all steps so far. Weights and "
            "state are as the last finite step left them. Look for NaN and infinite "
            "numbers in the data and for overflow in the loss; if the loss had grown "
            "before, lower `learning_rate` or set `global_clipnorm`.",
            stacklevel=3,
        )
