"""What cannot work is refused before any weight has changed, with the remedy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.contract import problems
from tests.contract.execution import mirrored_strategy, step_of_the_user
from tests.contract.table import refused_in
from tests.contract.training import fit, loop


def on_batches(model, batches, epochs):
    for _ in range(epochs):
        for batch in batches:
            model.train_on_batch(*batch)


def refuses(model, remedy, *ways):
    """Each way to train raises an error that names the remedy; gives its text."""
    problem = problems.dense()
    before = [v.numpy() for v in model.trainable_variables]
    texts = set()
    for train in ways or (fit,):
        with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
            train(model, problem.batches(), 1)
        texts.add(" ".join(str(caught.value).split()))
        for old, variable in zip(before, model.trainable_variables, strict=True):
            np.testing.assert_array_equal(old, variable.numpy())
    (text,) = texts
    return text


@refused_in("policy `mixed_float16`, set before the optimizer is made")
def mixed_float16(make):
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="mixed_bfloat16") as caught:
        make()
    return str(caught.value)


@refused_in("`mixed_float16` of a model, loss scaling")
def loss_scaling(make):
    """In `fit`, on batches and in a loop around Keras's `LossScaleOptimizer`."""
    optimizer = make()
    keras.config.set_dtype_policy("mixed_float16")
    model = problems.dense().compiled(optimizer)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    own_loop = loop(tf.function(step_of_the_user))
    return refuses(model, "mixed_bfloat16", fit, on_batches, own_loop)


@refused_in("eager gradients (`run_eagerly=True`)")
def run_eagerly(make):
    """Also in a loop without `tf.function`, and where TensorFlow runs none."""
    model = problems.dense().compiled(make(), run_eagerly=True)
    remedy = "`optimizer.minimize(loss_fn, variables)`"
    text = refuses(model, remedy, fit, on_batches, loop(step_of_the_user))
    model = problems.dense().compiled(make())
    tf.config.run_functions_eagerly(True)
    try:
        assert refuses(model, remedy, fit, on_batches) == text
    finally:
        tf.config.run_functions_eagerly(False)
    return text


@refused_in("own loop that does not call `optimizer.scale_loss`")
def loop_without_loss(make):
    @tf.function
    def step(model, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)

    model = problems.dense().compiled(make())
    return refuses(model, "optimizer.scale_loss(loss)", loop(step))


@refused_in("weights of 16 bits (policy `bfloat16`)")
def weights_of_16_bits(make):
    keras.config.set_dtype_policy("bfloat16")
    return refuses(problems.dense().compiled(make()), "mixed_bfloat16")


@refused_in("two replicas with gradient accumulation")
def accumulation_on_replicas(make):
    with mirrored_strategy().scope():
        model = problems.dense().compiled(make(gradient_accumulation_steps=2))
    return refuses(model, "Take larger batches")


@refused_in("two replicas with `ema_overwrite_frequency`")
def overwriting_on_replicas(make):
    arguments = {"use_ema": True, "ema_overwrite_frequency": 2}
    with mirrored_strategy().scope():
        model = problems.dense().compiled(make(**arguments))
    return refuses(model, "let `fit` take over the averages")


@refused_in("two replicas with synchronized BatchNorm")
def synchronized_batch_norm(make):
    with mirrored_strategy().scope():
        model = keras.Sequential(
            [
                keras.layers.Input((6,)),
                keras.layers.BatchNormalization(synchronized=True),
                keras.layers.Dense(3),
            ]
        )
        model.compile(make(), problems.cross_entropy)
    return refuses(model, "synchronized=False")
