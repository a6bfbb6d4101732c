"""One minibatch as a step sees it: its gradient, and one at shifted weights."""

import threading
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fuzzyhess.backend.replicas import several_replicas, sum_in_one
from keras_fuzzyhess.measure.probe import Probe
from keras_fuzzyhess.state.packing import Packing

GradientsAt = Callable[[Sequence[tf.Tensor]], tuple[list[tf.Tensor], tf.Tensor]]
"""Maps shifts of the weights to the gradients and the loss at the shifted weights."""


class PendingStep(threading.local):
    """What an optimizer learns of a step before `apply`; replicas are threads.

    Attributes:
        losses: List of tensors, those of `scale_loss` since the last step.
        loss_fn: Callable without arguments that returns the loss, or None.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all."""
        self.losses: list[tf.Tensor] = []
        self.loss_fn: Callable[[], tf.Tensor] | None = None

    def tell(self, loss: tf.Tensor) -> None:
        """Takes note of a loss, beside others of the same traced function.

        Raises:
            ValueError: if it is a list or another structure of losses.

        Example:

        >>> pending = PendingStep()
        >>> pending.tell(tf.constant(1.0))
        >>> [float(loss) for loss in pending.losses]
        [1.0]
        """
        if isinstance(loss, list | tuple | dict):
            raise ValueError(
                "`scale_loss` must be given one loss. Received: a "
                f"{type(loss).__name__} of {len(loss)}. Give their sum: "
                "`optimizer.scale_loss(loss_1 + loss_2)`."
            )
        graph = getattr(loss, "graph", None) if tf.is_symbolic_tensor(loss) else None
        beside = [
            told
            for told in self.losses
            if graph is not None
            and tf.is_symbolic_tensor(told)
            and told.graph is graph
            and told is not loss
        ]
        self.losses = [*beside, loss]


class Minibatch:
    """Gradient and loss of a minibatch, summed over replicas once for all uses.

    Args:
        gradients: List of tensors, one for each weight, of this replica.
        loss: Scalar, of this replica.
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
    >>> minibatch = Minibatch([2 * w], tf.reduce_sum(w**2), [w])
    >>> probe = minibatch.probe(gradients_at, lambda gradients: [tf.fill(2, 0.5)])
    >>> probe.gradients[0].numpy().tolist(), probe.shifted_gradients[0].numpy().tolist()
    ([2.0, -4.0], [3.0, -3.0])
    """

    def __init__(
        self,
        gradients: list[tf.Tensor],
        loss: tf.Tensor,
        variables: Sequence[tf.Variable],
        scale: float | None = None,
    ) -> None:
        self._packing = Packing(variables)
        self._scale = scale
        self.gradients, self.loss = gradients, loss
        self.packed = self._packing.pack(gradients)
        if several_replicas():
            self.packed, self.loss = sum_in_one(self.packed, loss)
            self.gradients = self._packing.unpack(self.packed)

    def probe(
        self,
        gradients_at: GradientsAt,
        choose_shifts: Callable[[list[tf.Tensor]], list[tf.Tensor]],
    ) -> Probe:
        """Takes a second gradient.

        Args:
            gradients_at: `GradientsAt` of this replica.
            choose_shifts: Callable that maps the packed gradients, no longer scaled,
                to the packed shifts.

        Returns:
            `Probe`.
        """
        gradients = self._unscaled(self.packed)
        shifts = choose_shifts(gradients)
        at = self._packing.packed(gradients_at)
        shifted_gradients, shifted_loss = at(shifts)
        return Probe(
            gradients,
            self.loss,
            shifts,
            self._unscaled(shifted_gradients),
            shifted_loss,
        )

    def _unscaled(self, vectors: list[tf.Tensor]) -> list[tf.Tensor]:
        return [v / self._scale for v in vectors] if self._scale else vectors


def dense_gradients(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices | None],
    variables: Sequence[tf.Variable],
) -> list[tf.Tensor | None]:
    """Gradients as tensors that are known to have shapes and dtypes of their weights.

    When a step is traced for minibatches of any size, the shape of a gradient is not
    always inferred.

    Args:
        gradients: List of tensors, slices of embeddings, and None where there is none.
        variables: List of the weights.

    Returns:
        List of tensors, and None where there is none.

    Raises:
        ValueError: if there are not as many as weights, or one has another shape.

    Example:

    >>> slices = tf.IndexedSlices(tf.ones((1, 2)), [1], tf.constant([3, 2]))
    >>> (dense,) = dense_gradients([slices], [tf.Variable(tf.zeros((3, 2)))])
    >>> dense.numpy().tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    gradients = list(gradients)
    if len(gradients) != len(variables):
        raise ValueError(
            "There must be one gradient, or None, for each weight. "
            f"Received: {len(gradients)} gradients for {len(variables)} weights. Give "
            "the weights as `trainable_variables`, or build the optimizer with them."
        )
    return [_dense(g, v) for g, v in zip(gradients, variables, strict=True)]


def _dense(gradient, variable: tf.Variable) -> tf.Tensor | None:
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        indices = tf.convert_to_tensor(gradient.indices)
        shape = tf.constant(tuple(variable.shape), indices.dtype)
        gradient = tf.IndexedSlices(gradient.values, indices, shape)
    tensor = tf.convert_to_tensor(gradient)
    if not tensor.shape.is_compatible_with(variable.shape):
        raise ValueError(
            f"The gradient of `{variable.name}` must have its shape, "
            f"{tuple(variable.shape)}. Received: one of shape {tensor.shape}. Give "
            "gradients and weights in the same order."
        )
    tensor.set_shape(variable.shape)
    return tf.cast(tensor, variable.dtype)


def sum_of_losses(losses: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """Their sum as one number, of which a tape takes the gradient; None of none.

    Example:

    >>> float(sum_of_losses([tf.constant([1.0, 2.0]), tf.constant(4.0)]))
    7.0
    """
    scalars = [scalar_loss(loss) for loss in losses]
    if len(scalars) < 2:
        return scalars[0] if scalars else None
    dtype = tf.float64 if any(s.dtype == tf.float64 for s in scalars) else tf.float32
    return tf.add_n([tf.cast(s, dtype) for s in scalars])


def scalar_loss(loss: tf.Tensor) -> tf.Tensor:
    """The loss as one number: the sum, of which a tape takes the gradient as well.

    Example:

    >>> float(scalar_loss(tf.constant([1.0, 2.0])))
    3.0
    """
    loss = tf.convert_to_tensor(loss)
    return loss if loss.shape.rank == 0 else tf.reduce_sum(loss)
