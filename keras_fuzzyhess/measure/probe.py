"""What a second gradient is."""

from typing import NamedTuple

import tensorflow as tf


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
