"""How a step is run: compiled, in parts, on replicas, in which precision, by whom."""

import dataclasses

import keras
import tensorflow as tf

from tests.contract.problems import dense
from tests.contract.registry import holds_in
from tests.contract.training import (
    COMPARED,
    FURTHER,
    LEARNED,
    assert_whole,
    holds,
    loop,
    loss_of,
    mean_loss,
    minimize,
    minimize_step,
)
from tests.networks import CLASSES
from tests.replicas import mirrored_strategy


@holds_in("`compile` and `fit`, nothing else")
def plain(make):
    holds(make)


@holds_in("XLA (`jit_compile=True`)")
def xla(make):
    holds(make, jit_compile=True)


@holds_in("two replicas (`MirroredStrategy`)")
def two_replicas(make):
    """With fewer steps, for on CPUs sums over replicas take long."""
    holds(make, scope=mirrored_strategy().scope, further=8)


@holds_in("`steps_per_execution`")
def steps_per_execution(make):
    """Three, so that the last execution of an epoch of four steps is not full."""
    holds(make, steps_per_execution=3)


@holds_in("policy `mixed_bfloat16`")
def mixed_bfloat16(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    holds(make, tolerance=0.2)


@holds_in("policy `float64`")
def float64(make):
    keras.config.set_dtype_policy("float64")
    holds(make, tolerance=1e-5)


@holds_in("`train_on_batch`")
def train_on_batch(make):
    holds(make, train=loop(lambda model, batch: model.train_on_batch(*batch)))


class OwnStep(keras.Sequential):
    """A model with a training step of its own."""

    def train_step(self, data):
        return {"loss": step_of_the_user(self, data)}


def step_of_the_user(model, batch):
    with tf.GradientTape() as tape:
        loss = model.optimizer.scale_loss(loss_of(model, batch))
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    return loss


@holds_in("subclassed model with its own `train_step`")
def own_train_step(make):
    def build():
        layers = keras.layers
        return OwnStep(
            [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(CLASSES)]
        )

    holds(make, dataclasses.replace(dense(), build=build))


@holds_in("own loop in a `tf.function`")
def own_loop(make):
    holds(make, train=loop(tf.function(step_of_the_user)))


@holds_in("`optimizer.minimize` in a `tf.function`")
def minimize_in_graph(make):
    holds(make, train=loop(tf.function(minimize_step)))


@holds_in("`optimizer.minimize` in eager code")
def minimize_eagerly(make):
    """With which `fit` is compared in the other cells."""
    problem = dense()
    model = problem.compiled(make())
    before = mean_loss(model, problem)
    minimize(model, problem.batches(), COMPARED + FURTHER)
    assert mean_loss(model, problem) < LEARNED * before
    assert_whole(model)
