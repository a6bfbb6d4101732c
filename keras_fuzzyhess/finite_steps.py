"""Steps that are not finite are skipped, as if their minibatch had not been there.

A NaN in the data, an overflow in the loss or a gradient of `sqrt` at zero would enter
every moving average and stay. So a step looks first whether its loss and its gradient
are finite, and only then touches anything, as Keras's `LossScaleOptimizer` does.
"""

import functools
import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.replicas import cond_in_every_replica

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


def has_finite_norm(vectors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether all elements, and the sum of their squares, are finite in float32.

    Example:

    >>> bool(has_finite_norm([tf.constant([1e18]), tf.constant([float("nan")])]))
    False
    """
    # `l2_loss` reads a vector once and writes nothing, unlike an `is_finite` of each.
    sums = [tf.cast(tf.nn.l2_loss(vector), tf.float32) for vector in vectors]
    return tf.math.is_finite(tf.add_n(sums))


class FiniteStepOptimizer(keras.optimizers.Optimizer):
    """Base of optimizers that skip steps and drop probes that are not finite.

    A skipped step changes nothing but the counters here: no weight, no average, no
    accumulated gradient, no random number, and not `iterations`, on which schedules
    and probes depend. A dropped probe leaves out what the probe has measured; the
    step itself is taken.

    Args:
        *args: Those of `keras.optimizers.Optimizer`.
        **kwargs: Those of `keras.optimizers.Optimizer`.
    """

    def build(self, variables) -> None:
        """Creates the counters."""
        super().build(variables)
        self._skipped_steps = self._add_counter("skipped_steps")
        self._skipped_in_a_row = self._add_counter("skipped_in_a_row")
        # Python cannot warn from a compiled step; what it has to say waits here.
        self._warnings_due = self._add_counter("skip_warnings_due")
        self._dropped_probes = self._add_counter("dropped_probes")

    def _add_counter(self, name: str) -> keras.Variable:
        return self.add_variable((), dtype="int", name=name)

    def take_or_skip(self, finite: tf.Tensor, take_step: Callable[[], None]) -> None:
        """Takes the step if `finite`, which is the same in all replicas."""

        def take():
            self._skipped_in_a_row.assign(0)
            take_step()

        def skip():
            in_a_row = self._skipped_in_a_row.value + 1
            is_due = tf.equal(in_a_row, PATIENCE)
            self._skipped_in_a_row.assign(in_a_row)
            self._warnings_due.assign_add(tf.cast(is_due, in_a_row.dtype))
            self._skipped_steps.assign_add(1)

        cond_in_every_replica(finite, take, skip)

    def keep_or_drop(self, finite: tf.Tensor, keep_probe: Callable[[], None]) -> None:
        """Keeps a probe if `finite`, which is the same in all replicas."""

        def drop():
            self._dropped_probes.assign_add(1)

        cond_in_every_replica(finite, keep_probe, drop)

    def warn_of_skipped_steps(self) -> None:
        """Warns if ten steps in a row were skipped since it was called last.

        `fit` calls it at its end, `FuzzyHessMonitor` after every epoch, `minimize` in
        eager code after every step. Inside a `tf.function` it does nothing.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([1.0]), FuzzyHess(seed=0)
        >>> for _ in range(9):
        ...     loss = optimizer.minimize(lambda: w[0] * float("nan"), [w])
        >>> optimizer.warn_of_skipped_steps()
        >>> optimizer.diagnostics["skipped_in_a_row"], w.numpy().item()
        (9, 1.0)
        """
        if tf.inside_function() or not self.built:
            return
        if int(self._warnings_due.numpy()) == 0:
            return
        self._warnings_due.assign(0)
        warnings.warn(
            f"{type(self).__name__} skipped {PATIENCE} steps in a row or more, for "
            "their loss or gradient was not finite: "
            f"{int(self._skipped_steps.numpy())} of all steps so far. Weights and "
            "state are as the last finite step left them. Look for NaN and infinite "
            "numbers in the data and for overflow in the loss; if the loss had grown "
            "before, lower `learning_rate` or set `global_clipnorm`.",
            stacklevel=2,
        )

    def finalize_variable_values(self, var_list) -> None:
        """Ends a training, as `fit` does: with `use_ema`, the averages take the place.

        Does nothing before the first step, when there is no average. Warns if ten steps
        in a row were skipped and nobody has said so yet.

        Args:
            var_list: List of the model's trainable variables.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> path = []
        >>> for _ in range(3):
        ...     loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        ...     path.append(w.numpy())
        >>> optimizer.finalize_variable_values([w])
        >>> bool(min(path[1][0], path[2][0]) < w[0] < max(path[1][0], path[2][0]))
        True
        """
        finalize = functools.partial(super().finalize_variable_values, var_list)
        if tf.inside_function():
            cond_in_every_replica(self.iterations > 0, finalize, lambda: None)
        elif self.built and int(self.iterations.numpy()) > 0:
            finalize()
        self.warn_of_skipped_steps()
