"""The closure form: same noise at every call, state moved once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.backend.closure import ClosureGradients
from tests.helpers import networks
from tests.helpers.fast import each_value_fast


def closure_of(model):
    x, y = networks.data(model)
    return ClosureGradients(
        lambda: networks.cross_entropy(y, model(x, training=True)),
        networks.weights(model),
    )


def test_calls_share_noise_and_state():
    model = networks.convolution()
    closure = closure_of(model)
    gradients, loss = closure.at_weights()
    zeros = [tf.zeros_like(g) for g in gradients]
    again, loss_again = closure(zeros)
    assert float(loss) == float(loss_again)
    for a, b in zip(gradients, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_state_moves_on_commit_only_and_once():
    model = networks.convolution()
    state = [v.numpy() for v in model.non_trainable_variables]
    closure = closure_of(model)
    closure.at_weights()
    closure(networks.random_shifts(model))
    for old, variable in zip(state, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    closure.commit()
    x, _ = networks.data(model)
    moved = [v.numpy() for v in model.non_trainable_variables]
    for variable, old in zip(model.non_trainable_variables, state, strict=True):
        variable.assign(old)
    model(x, training=True)
    for expected, variable in zip(moved, model.non_trainable_variables, strict=True):
        np.testing.assert_allclose(expected, variable.numpy(), rtol=1e-5)


def test_weights_are_put_back_even_after_an_error():
    w = tf.Variable([1.0 / 3.0])
    calls = []

    def loss_fn():
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return tf.reduce_sum(w**2)

    closure = ClosureGradients(loss_fn, [w])
    closure.at_weights()
    before = w.numpy()
    with pytest.raises(RuntimeError, match="out of memory"):
        closure([tf.constant([0.01])])
    np.testing.assert_array_equal(w.numpy(), before)


def test_minimize_refuses_noise_that_it_cannot_repeat():
    w = tf.Variable([1.0, 2.0])
    with pytest.raises(ValueError, match=r"same loss.*keras.random.SeedGenerator"):
        FuzzyHess().minimize(lambda: tf.reduce_sum(w**2 * tf.random.normal([2])), [w])
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])


class AddsLosses(layers.Layer):
    """A layer inside, with regularizers of all kinds, and a loss of its own."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(6, kernel_regularizer="l1", activity_regularizer="l2")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        x = self.inner(x)
        self.add_loss(0.1 * tf.reduce_mean(x**2))
        return x


def nested():
    inner = keras.Sequential(
        [
            layers.Input((6,)),
            AddsLosses(),
            layers.BatchNormalization(gamma_regularizer="l2"),
        ]
    )
    return keras.Sequential([layers.Input((6,)), inner, layers.Dense(networks.CLASSES)])


def shared():
    layer, x = AddsLosses(), layers.Input((6,))
    return keras.Model(x, layers.Dense(networks.CLASSES)(layer(layer(x))))


def depends_on_state():
    """What the layer adds is read from statistics that it has just moved."""

    class AddsMean(layers.BatchNormalization):
        def call(self, x, training=None):
            x = super().call(x, training=training)
            self.add_loss(tf.reduce_sum(self.moving_variance.value**2))
            return x

    return keras.Sequential(
        [layers.Input((6,)), AddsMean(), layers.Dense(networks.CLASSES)]
    )


def normalizes_its_kernel():
    return keras.Sequential(
        [
            layers.Input((6,)),
            layers.SpectralNormalization(layers.Dense(8, kernel_regularizer="l2")),
            layers.Dense(networks.CLASSES),
        ]
    )


@each_value_fast(
    build=[nested, shared, depends_on_state, normalizes_its_kernel],
    make=[FuzzyHess, SALO],
)
def test_minimize_trains_on_what_loss_fn_is_outside(build, make):
    model = build()
    model.compile(loss=networks.cross_entropy, metrics=["accuracy"])
    x, y = networks.data(model)

    def loss_fn():
        return model.compute_loss(x, y, model(x, training=True), training=True)

    state = [v.numpy() for v in model.variables]
    with tf.GradientTape() as tape:
        outside = loss_fn()
    gradients = tape.gradient(outside, networks.weights(model))
    moved = [v.numpy() for v in model.non_trainable_variables]
    for variable, value in zip(model.variables, state, strict=True):
        variable.assign(value)

    closure = ClosureGradients(loss_fn, networks.weights(model))
    again, loss = closure.at_weights()
    np.testing.assert_allclose(loss, outside, rtol=1e-6)
    for a, b in zip(again, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    for variable, value in zip(model.variables, state, strict=True):
        variable.assign(value)
    optimizer = make()
    loss = optimizer.minimize(loss_fn, model.trainable_variables)
    np.testing.assert_allclose(loss, outside, rtol=1e-6)
    for variable, value in zip(model.non_trainable_variables, moved, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-5)
    for _ in range(20):
        last = optimizer.minimize(loss_fn, model.trainable_variables)
    assert float(last) < float(loss)


def test_minimize_takes_what_is_added_by_hand_and_updates_metrics_once():
    model = nested()
    x, y = networks.data(model)
    mean = keras.metrics.Mean()

    def loss_fn():
        loss = networks.cross_entropy(y, model(x, training=True)) + sum(model.losses)
        mean.update_state(loss)
        return loss

    loss = FuzzyHess().minimize(loss_fn, model.trainable_variables)
    assert float(mean.result()) == pytest.approx(float(loss))
    assert int(mean.count.numpy()) == 1


def test_a_value_assigned_in_a_call_is_seen_in_the_rest_of_it():
    w, count = tf.Variable([2.0]), keras.Variable(1.0, trainable=False)

    def loss_fn():
        count.assign_add(1.0)
        return tf.reduce_sum(w**2) * count.value

    assert float(FuzzyHess().minimize(loss_fn, [w])) == 8.0
    assert float(count.value) == 2.0


def test_refuses_state_that_a_traced_function_would_move():
    model = networks.convolution()
    x, y = networks.data(model)
    forward = tf.function(lambda: model(x, training=True))
    with pytest.raises(ValueError, match=r"inside a `tf.function`.*whole training"):
        FuzzyHess().minimize(
            lambda: networks.cross_entropy(y, forward()), model.trainable_variables
        )
