"""The closure form: same noise at every call, state moved once."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.closure import ClosureGradients
from tests import networks


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
