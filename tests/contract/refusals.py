"""What cannot work is refused before any weight has changed, with the remedy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.contract import problems
from tests.contract.execution import step_of_the_user
from tests.contract.registry import refused_in
from tests.contract.training import fit, loop
from tests.replicas import mirrored_strategy


def on_batches(model, batches, epochs):
    for _ in range(epochs):
        for batch in batches:
            model.train_on_batch(*batch)


def message(error):
    """The error's own text, which Keras prints in bold within the call that raised."""
    text = " ".join(str(error).split())
    bold = re.search(r"\x1b\[1m(.*)\x1b\[0m", text)
    return bold[1] if bold else text


def refuses(make_model, remedy, *ways, tries=2):
    """Each way to train raises an error that names the remedy; gives its text."""
    texts = []
    for train in ways:
        model = make_model()
        before = [v.numpy() for v in model.trainable_variables]
        for _ in range(tries):
            with pytest.raises(ValueError, match=re.escape(remedy)) as caught:
                train(model, problems.dense().batches(), 1)
            texts.append(message(caught.value))
        for old, variable in zip(before, model.trainable_variables, strict=True):
            np.testing.assert_array_equal(old, variable.numpy())
    return texts[0]


@refused_in("policy `mixed_float16`, set before the optimizer is made")
def mixed_float16(make):
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="mixed_bfloat16") as caught:
        make()
    return str(caught.value)


@refused_in("policy `mixed_float16`, set later (`LossScaleOptimizer`)")
def loss_scaling(make):
    optimizers = [make() for _ in range(3)]
    keras.config.set_dtype_policy("mixed_float16")

    def make_model():
        model = problems.dense().compiled(optimizers.pop())
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        return model

    own_loop = loop(tf.function(step_of_the_user, autograph=False))
    # Once each: variables that Keras creates on the way have TensorFlow skip the step
    # when it is tried again.
    return refuses(
        make_model, "use 'mixed_bfloat16'", fit, on_batches, own_loop, tries=1
    )


@refused_in("eager gradients (`run_eagerly=True`)")
def run_eagerly(make):
    """Also in a loop without `tf.function`, and where TensorFlow runs none."""
    remedy = "Train without `run_eagerly`"
    text = refuses(
        lambda: problems.dense().compiled(make(), run_eagerly=True),
        remedy,
        *(fit, on_batches, loop(step_of_the_user)),
    )
    tf.config.run_functions_eagerly(True)
    try:
        model = problems.dense().compiled(make())
        assert refuses(lambda: model, remedy, fit, on_batches) == text
    finally:
        tf.config.run_functions_eagerly(False)
    return text


@refused_in("own loop that does not call `optimizer.scale_loss`")
def loop_without_loss(make):
    def step(model, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)

    return refuses(
        lambda: problems.dense().compiled(make()),
        "call `loss = optimizer.scale_loss(loss)` inside the tape",
        loop(tf.function(step, autograph=False)),
    )


@refused_in("weights of 16 bits (policy `bfloat16`)")
def weights_of_16_bits(make):
    keras.config.set_dtype_policy("bfloat16")
    return refuses(
        lambda: problems.dense().compiled(make()),
        "use the policy 'mixed_bfloat16'",
        *(fit, on_batches),
    )


def on_replicas(make, layer=None, **arguments):
    """Makes a model on two replicas."""

    def build():
        hidden = [layers.Dense(4), *([] if layer is None else [layer()])]
        return keras.Sequential([layers.Input((6,)), *hidden, layers.Dense(3)])

    def make_model():
        with mirrored_strategy().scope():
            return problems.Problem(build, ()).compiled(make(**arguments))

    return make_model


@refused_in("two replicas with gradient accumulation")
def accumulation_on_replicas(make):
    model = on_replicas(make, gradient_accumulation_steps=2)
    return refuses(model, "Take larger batches", fit)


@refused_in("two replicas with `ema_overwrite_frequency`")
def overwriting_on_replicas(make):
    model = on_replicas(make, use_ema=True, ema_overwrite_frequency=2)
    return refuses(model, "let `fit` take over the averages", fit)


@refused_in("two replicas with synchronized BatchNorm")
def synchronized_batch_norm(make):
    def layer():
        return layers.BatchNormalization(synchronized=True)

    return refuses(on_replicas(make, layer), "synchronized=False", fit)


class Noisy(layers.Layer):
    """Draws noise in a `tf.function` of its own."""

    @tf.function
    def call(self, x):
        return x * tf.random.normal(tf.shape(x))


@refused_in("layer in a `tf.function` of its own that draws noise")
def layer_in_function(make):
    def build():
        hidden = layers.Dense(4)
        return keras.Sequential([layers.Input((6,)), hidden, Noisy(), layers.Dense(3)])

    return refuses(
        lambda: problems.Problem(build, ()).compiled(make()),
        "remove the decorator",
        *(fit, on_batches),
    )
