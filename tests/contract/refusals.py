"""What cannot work is refused before any weight has changed, with the remedy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.contract import problems
from tests.contract.registry import refused_in
from tests.contract.training import fit, loop, loss_of
from tests.helpers.replicas import mirrored_strategy


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


@refused_in("own loop whose loss is not seen, and that does not call `scale_loss`")
def hidden_loss(make):
    """Which of two numbers the gradients are of cannot be told from the outside."""

    def step(model, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            outputs = model(x)
            loss = model.compute_loss(x, y, outputs)
            model.losses_so_far.assign_add(2.0 * loss)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)

    def make_model():
        model = problems.dense().compiled(make())
        model.losses_so_far = tf.Variable(0.0)
        return model

    return refuses(
        make_model,
        "Call `loss = optimizer.scale_loss(loss)` inside the tape",
        loop(tf.function(step, autograph=False)),
    )


@refused_in("gradients summed over minibatches by hand")
def summed_by_hand(make):
    def step(model, batch):
        with tf.GradientTape() as tape:
            loss = model.optimizer.scale_loss(loss_of(model, batch))
        gradients = tape.gradient(loss, model.trainable_variables)
        for total, gradient in zip(model.sums, gradients, strict=True):
            total.assign_add(gradient)
        sums = [total.read_value() for total in model.sums]
        model.optimizer.apply(sums, model.trainable_variables)

    def make_model():
        model = problems.dense().compiled(make())
        model.sums = [
            tf.Variable(tf.zeros(v.shape), trainable=False)
            for v in model.trainable_variables
        ]
        return model

    return refuses(
        make_model,
        "gradient_accumulation_steps",
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
    """Draws noise, from no state that can be put back, in a `tf.function`."""

    @tf.function
    def call(self, x):
        return x * tf.random.normal(tf.shape(x))


@refused_in("layer in a `tf.function` of its own that draws noise without a seed")
def layer_in_function(make):
    def build():
        hidden = layers.Dense(4)
        return keras.Sequential([layers.Input((6,)), hidden, Noisy(), layers.Dense(3)])

    return refuses(
        lambda: problems.Problem(build, ()).compiled(make()),
        "Draw it with `keras.random`",
        *(fit, on_batches),
    )
