"""A training step as a loop of one's own takes it."""

from collections.abc import Callable

import keras
import tensorflow as tf


def compiled_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    loss_fn: Callable,
    jit_compile: bool = False,
) -> Callable:
    """A function of inputs and targets that takes a step and returns the loss.

    Args:
        model: Need not be compiled.
        optimizer: Any of Keras or of ours.
        loss_fn: Callable of targets and predictions that returns a scalar.
        jit_compile: Whether XLA compiles it.

    Returns:
        A `tf.function`, not traced yet.
    """

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
            scaled = optimizer.scale_loss(loss)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    return step
