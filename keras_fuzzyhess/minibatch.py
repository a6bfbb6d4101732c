"""One minibatch as a step sees it: its gradient, and one at shifted weights."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_fuzzyhess.packing import Packing
from keras_fuzzyhess.replicas import several_replicas, sum_in_one

GradientsAt = Callable[[Sequence[tf.Tensor]], tuple[list[tf.Tensor], tf.Tensor]]
"""Maps shifts of the weights to the gradients and the loss at the shifted weights."""


class Probe(NamedTuple):
    """What a step knows when it has taken a second gradient; vectors are packed.

    Attributes:
        gradients: At the weights, summed over replicas, neither clipped nor
            accumulated.
        loss: At the weights, summed over replicas.
        shifts: From the weights to where the second gradient was taken.
        shifted_gradients: There, those of this replica alone.
        shifted_loss: There, that of this replica alone.
    """

    gradients: list[tf.Tensor]
    loss: tf.Tensor
    shifts: list[tf.Tensor]
    shifted_gradients: list[tf.Tensor]
    shifted_loss: tf.Tensor


class Minibatch:
    """Gradient and loss of a minibatch, summed over replicas once for all uses.

    Args:
        gradients: List of tensors, one for each weight, of this replica.
        loss: Scalar, of this replica.
        gradients_at: `GradientsAt` of this replica.
        variables: List of the weights.
        scale: Positive float or None, by which loss and gradients differ: the
            `loss_scale_factor` of Keras's optimizers.

    Attributes:
        gradients: List of tensors, one for each weight, summed, still scaled.
        packed: The same, joined to fewer vectors (`packing.py`).
        loss: Scalar, summed.

    Example:

    >>> w = tf.Variable([1.0, -2.0])
    >>> def gradients_at(shifts):
    ...     return [2 * (w + shifts[0])], tf.reduce_sum((w + shifts[0]) ** 2)
    >>> minibatch = Minibatch([2 * w], tf.reduce_sum(w**2), gradients_at, [w])
    >>> probe = minibatch.probe(lambda gradients: [tf.fill(2, 0.5)])
    >>> probe.gradients[0].numpy().tolist(), probe.shifted_gradients[0].numpy().tolist()
    ([2.0, -4.0], [3.0, -3.0])
    """

    def __init__(
        self,
        gradients: list[tf.Tensor],
        loss: tf.Tensor,
        gradients_at: GradientsAt,
        variables: Sequence[tf.Variable],
        scale: float | None = None,
    ) -> None:
        packing = Packing(variables)
        self._gradients_at = packing.packed(gradients_at)
        self._scale = scale
        self.gradients, self.loss = gradients, loss
        self.packed = packing.pack(gradients)
        if several_replicas():
            self.packed, self.loss = sum_in_one(self.packed, loss)
            self.gradients = packing.unpack(self.packed)

    def probe(
        self, choose_shifts: Callable[[list[tf.Tensor]], list[tf.Tensor]]
    ) -> Probe:
        """Takes a second gradient.

        Args:
            choose_shifts: Callable that maps the packed gradients, no longer scaled,
                to the packed shifts.

        Returns:
            `Probe`.
        """
        gradients = self._unscaled(self.packed)
        shifts = choose_shifts(gradients)
        shifted_gradients, shifted_loss = self._gradients_at(shifts)
        return Probe(
            gradients,
            self.loss,
            shifts,
            self._unscaled(shifted_gradients),
            shifted_loss,
        )

    def _unscaled(self, vectors: list[tf.Tensor]) -> list[tf.Tensor]:
        return [v / self._scale for v in vectors] if self._scale else vectors


def refuse_incomplete(
    optimizer: str,
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[tf.Variable],
    loss: tf.Tensor | None,
    can_repeat: bool,
) -> None:
    """Refuses what is no minibatch of which a second gradient can be taken.

    Args:
        optimizer: String, the name of its class.
        gradients: List of tensors, None where there is none.
        variables: List of the weights.
        loss: Scalar, or None if the optimizer was not given it.
        can_repeat: Bool, whether it is known how the gradients are computed.

    Raises:
        ValueError: if the loss is missing, the gradients cannot be taken again, or
            there are not as many as weights.

    Example:

    >>> w = tf.Variable(1.0)
    >>> refuse_incomplete("FuzzyHess", [2 * w], [w], loss=w**2, can_repeat=True)
    """
    if loss is None:
        raise ValueError(
            f"{optimizer} must be given the loss of every step. "
            "Received: gradients without a loss. In a training loop of your "
            "own, call `loss = optimizer.scale_loss(loss)` inside the tape, "
            "before the gradients are computed. If the model has the policy "
            "'mixed_float16', Keras's loss scaling stands between: use "
            "'mixed_bfloat16'."
        )
    if not can_repeat:
        raise ValueError(
            f"{optimizer} must see how the gradients are computed, "
            "for it takes them again at shifted weights. Received: gradients "
            "from eager code (`run_eagerly=True`, or a loop without "
            "`tf.function`). Train without `run_eagerly`, decorate the "
            "training step with `@tf.function`, or call "
            "`optimizer.minimize(loss_fn, variables)`."
        )
    if len(gradients) != len(variables):
        raise ValueError(
            f"{optimizer} must be given one gradient, or None, for each weight. "
            f"Received: {len(gradients)} gradients for {len(variables)} weights. Give "
            "the weights as `trainable_variables`, or build the optimizer with them."
        )
