"""Optimizers that are attributes of a model: `fit` does not tell them that it ends."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from tests.helpers.fast import first_fast
from tests.helpers.replicas import mirrored_strategy
from tests.helpers.small_training import assert_same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def mean_square(outputs, y):
    return tf.reduce_mean((tf.cast(outputs, tf.float32) - y) ** 2)


class Pair(keras.Model):
    """Two networks, each with an optimizer of its own."""

    def __init__(self, where=list, wrap=lambda optimizer: optimizer, **settings):
        super().__init__()
        keras.utils.set_random_seed(0)
        self.nets = [
            keras.Sequential(
                [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(1)]
            )
            for _ in range(2)
        ]
        made = [wrap(FuzzyHess(seed=i, **settings)) for i in range(2)]
        self.own = dict(enumerate(made)) if where is dict else made
        if where is vars:
            self.first, self.second = made

    def train_step(self, data):
        x, y = data
        losses = {}
        for i, net in enumerate(self.nets):
            with tf.GradientTape() as tape:
                loss = mean_square(net(x, training=True), y)
                scaled = self.own[i].scale_loss(loss)
            weights = net.trainable_variables
            self.own[i].apply(tape.gradient(scaled, weights), weights)
            losses[f"loss_{i}"] = loss
        return losses

    def call(self, x):
        return self.nets[0](x)

    def test_step(self, data):
        return {"error": mean_square(self(data[0]), data[1])}

    def optimizer_of(self, i):
        return getattr(self.own[i], "inner_optimizer", self.own[i])


class LastWeights(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.weights = self.model.get_weights()


def fit(model, *callbacks, epochs=3, **kwargs):
    last = LastWeights()
    fitted = model.fit(
        X,
        Y,
        batch_size=16,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, last],
        **kwargs,
    )
    return last.weights, fitted.history


def pair(**kwargs):
    model = Pair(**kwargs)
    model.compile(jit_compile=False)
    return model


def test_one_warning_an_optimizer_names_both_ways_out():
    model = pair()
    with pytest.warns(UserWarning, match=r"AveragesInValidation.*finalize") as warned:
        weights, _ = fit(model)
    assert len(warned) == 2
    assert_same(weights, model.get_weights())
    fit(model)  # a warning would be an error


def test_the_callback_settles_the_warning_for_its_fit_alone():
    model = pair()
    fit(model, AveragesInValidation(), epochs=1)
    model.compile(jit_compile=False)
    with pytest.warns(UserWarning, match="AveragesInValidation") as warned:
        fit(model, epochs=1)
    assert len(warned) == 2


@first_fast(where=[list, dict, vars])
def test_the_callback_ends_with_the_averages_of_all(where):
    model = pair(where=where)
    weights, history = fit(
        model, AveragesInValidation(), validation_data=(X, Y), validation_batch_size=96
    )
    for i, net in enumerate(model.nets):
        averages = model.optimizer_of(i)._model_variables_moving_average
        assert_same(net.get_weights(), [a.numpy() for a in averages])
    assert any(
        (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
    )
    loss = np.mean((model.nets[0].predict(X, verbose=0) - Y) ** 2)
    np.testing.assert_allclose(history["val_error"][-1], loss, rtol=1e-5)


@pytest.mark.slow
def test_the_callback_leaves_the_training_as_it_is():
    with pytest.warns(UserWarning, match="AveragesInValidation"):
        alone, _ = fit(pair())
    beside, _ = fit(pair(), AveragesInValidation(), validation_data=(X, Y))
    assert_same(alone, beside)


@pytest.mark.slow
def test_without_averages_there_is_no_warning():
    model = pair(use_ema=False)
    weights, _ = fit(model)
    assert_same(weights, model.get_weights())


@pytest.mark.slow
@pytest.mark.slow
def test_loss_scaling_around_them():
    keras.config.set_dtype_policy("mixed_float16")
    model = pair(wrap=keras.optimizers.LossScaleOptimizer)
    weights, _ = fit(model, AveragesInValidation())
    assert any(
        (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
    )


def test_no_compiled_optimizer_at_all():
    model = Pair()
    model.compile(optimizer=None, jit_compile=False)
    weights, _ = fit(model, AveragesInValidation())
    assert any(
        (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
    )


@pytest.mark.slow
@pytest.mark.slow
def test_two_replicas():
    with mirrored_strategy().scope():
        model = pair()
        weights, _ = fit(model, AveragesInValidation())
    assert any(
        (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
    )


def test_a_train_step_of_a_model_that_is_not_compiled():
    """In a loop of one's own there is no `fit` that could end without the averages."""
    model = Pair()
    with pytest.warns(UserWarning, match="eager code"):
        for _ in range(2):
            model.train_step((tf.constant(X[:16]), tf.constant(Y[:16])))
    assert int(model.own[0].iterations) == 2


def test_salos_averages_are_put_in_as_well():
    class Alone(keras.Sequential):
        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = self.own.scale_loss(mean_square(self(data[0]), data[1]))
            weights = self.trainable_weights
            self.own.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    keras.utils.set_random_seed(0)
    model = Alone([layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    model.own = FuzzyHess.salo(use_ema=True, ema_momentum=0.9)
    model.compile(jit_compile=False)
    weights, _ = fit(model, AveragesInValidation())
    assert any(
        (a != b).any() for a, b in zip(weights, model.get_weights(), strict=True)
    )
    averages = model.own._model_variables_moving_average
    assert_same(model.get_weights(), [a.numpy() for a in averages])
