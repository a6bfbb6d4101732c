"""How a step is run: compiled, in parts, on replicas, in which precision, by whom."""

import dataclasses

import keras
import pytest
import tensorflow as tf

from tests.contract.problems import dense
from tests.contract.registry import holds_in
from tests.contract.training import (
    COMPARED,
    FURTHER,
    LEARNED,
    assert_finite,
    assert_whole,
    fit,
    holds,
    loop,
    loss_of,
    mean_loss,
    minimize,
    minimize_step,
)
from tests.helpers.networks import CLASSES, relative_error
from tests.helpers.replicas import mirrored_strategy


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
    """Steps differ more than gradients: small singular values are mostly rounding."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    holds(make, tolerance=0.35)


def as_in_float32(make, compiled):
    """Measures and steps as in float32, to what 16 bits tell, and goes on learning."""
    problem = dense()
    keras.config.set_dtype_policy("float32")
    plain = problem.compiled(make())
    start = [v.numpy() for v in plain.trainable_variables]
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(problem)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    optimizer, before = model.optimizer.inner_optimizer, mean_loss(model, problem)
    fit(plain, problem.batches(), COMPARED)
    fit(model, problem.batches(), COMPARED)
    assert optimizer.diagnostics["probes"] == plain.optimizer.diagnostics["probes"]
    error = relative_error(
        model.trainable_variables, plain.trainable_variables, origin=start
    )
    assert error < 0.05
    measured, expected = (o.diagnostics for o in (optimizer, plain.optimizer))
    for name in ("mean_curvature", "loss_trend"):
        assert measured[name] == pytest.approx(expected[name], rel=0.05, abs=0.01)
    fit(model, problem.batches(), FURTHER)
    assert mean_loss(model, problem) < LEARNED * before
    assert_whole(model)


@holds_in("policy `mixed_float16`, set before the optimizer is made")
def mixed_float16(make):
    as_in_float32(make, lambda problem: problem.compiled(make()))


@holds_in("policy `mixed_float16`, set later (`LossScaleOptimizer`)")
def loss_scaling(make):
    keras.config.set_dtype_policy("float32")
    optimizer = make()
    as_in_float32(make, lambda problem: problem.compiled(optimizer))


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


@holds_in("own loop that does not call `optimizer.scale_loss`")
def loop_without_loss(make):
    def step(model, batch):
        with tf.GradientTape() as tape:
            loss = loss_of(model, batch)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )

    holds(make, train=loop(tf.function(step)))


@holds_in("eager gradients (`run_eagerly=True`): without probes", but_in=("SALO",))
def run_eagerly(make):
    """Also in a loop without `tf.function`, and where TensorFlow runs none."""
    ways = (fit, loop(step_of_the_user))
    errors = [without_probes(make, train, run_eagerly=True) for train in ways]
    tf.config.run_functions_eagerly(True)
    try:
        other = without_probes(make, fit)
    finally:
        tf.config.run_functions_eagerly(False)
    assert (other is None) == (errors[0] is None)
    return errors[0]


def without_probes(make, train, **compiled):
    """Learns after one warning; or the error of an optimizer that needs probes."""
    problem = dense()
    model = problem.compiled(make(), **compiled)
    before = mean_loss(model, problem)
    if model.optimizer.algorithm.probes.are_due(0) is True:
        with pytest.raises(ValueError, match=r"eager code.*minimize") as caught:
            train(model, problem.batches(), 1)
        return str(caught.value)
    with pytest.warns(UserWarning, match="without probes") as warned:
        train(model, problem.batches(), COMPARED + FURTHER)
    assert sum("without probes" in str(w.message) for w in warned) == 1
    assert model.optimizer.diagnostics["probes"] == 0
    assert mean_loss(model, problem) < LEARNED * before
    assert_finite(model)
    return None


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
