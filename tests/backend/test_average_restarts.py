"""The average starts anew where a training has ended, and undoes nothing set since."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.averaging_rate import (
    Averaging,
    averaging_rate,
)
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.rule_bases import constant_surface
from tests.helpers.small_training import assert_same, compiled, fit

WINDOW = Averaging.window


def trained(epochs=4, **kwargs):
    model = compiled(FuzzyHess(seed=0, **kwargs))
    fit(model, networks.data(model, batches=4), epochs=epochs)
    return model


def shifted(weights):
    rng = np.random.default_rng(1)
    return [w + rng.normal(size=w.shape).astype("float32") for w in weights]


def distance(a, b):
    return max(np.abs(x - y).max() for x, y in zip(a, b, strict=True))


def minibatch(model):
    return networks.data(model)


SETTERS = {
    "set_weights": lambda model, new: model.set_weights(new),
    "assign": lambda model, new: [
        v.assign(w) for v, w in zip(model.trainable_variables, new, strict=True)
    ],
    "a layer": lambda model, new: model.layers[0].set_weights(new[:2]),
}


@first_fast(steps=[1, 2, 5])
@first_fast(how=SETTERS)
def test_weights_set_between_two_fits_are_where_the_second_starts(how, steps):
    """By more than all steps of the second together, whatever the first one left."""
    model = trained()
    SETTERS[how](model, shifted(model.get_weights()))
    start = model.get_weights()
    fit(model, minibatch(model), epochs=steps)
    assert 0 < distance(model.get_weights(), start) < 0.1 * steps


@pytest.mark.slow
def test_weights_loaded_between_two_fits_stay(tmp_path):
    model, other = trained(), networks.dense()
    other.save_weights(tmp_path / "other.weights.h5")
    model.compile(model.optimizer, networks.cross_entropy, jit_compile=False)
    model.set_weights(other.get_weights())
    fit(model, minibatch(model))
    assert distance(model.get_weights(), other.get_weights()) < 0.1


@pytest.mark.slow
def test_federated_averaging_of_two_models():
    """Each takes one step from what the server gave it."""
    models = [trained(), trained()]
    for _ in range(3):
        server = [
            np.mean(pair, axis=0)
            for pair in zip(*(m.get_weights() for m in models), strict=True)
        ]
        for model in models:
            model.set_weights(server)
            fit(model, minibatch(model))
            assert 0 < distance(model.get_weights(), server) < 0.1


def test_weights_set_after_a_first_fit_of_one_step():
    model = trained(0)
    fit(model, minibatch(model))
    new = shifted(model.get_weights())
    model.set_weights(new)
    fit(model, minibatch(model))
    assert 0 < distance(model.get_weights(), new) < 0.1


@first_fast(end=["no epoch", "skipped", "twice"])
def test_a_training_without_a_step_leaves_the_weights_that_were_set(end):
    model = trained()
    new = shifted(model.get_weights())
    model.set_weights(new)
    x, y = minibatch(model)
    if end == "no epoch":
        fit(model, (x, y), epochs=1, initial_epoch=1)
    elif end == "skipped":
        fit(model, (np.nan * x, y))
    else:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    assert_same(model.get_weights(), new)


@pytest.mark.slow
def test_average_is_the_mean_of_all_weights_since():
    """Until the window of a training as long as both is full."""
    model = trained(epochs=25)  # 100 steps, a window of 6
    x, y = minibatch(model)
    weights = []
    for step in range(100, 110):
        model.train_on_batch(x, y)
        weights.append(model.get_weights()[0].astype("float64"))
        averages = model.optimizer._model_variables_moving_average
        if step < 106:
            expected = np.mean(weights, axis=0)
        else:
            rate = WINDOW / (WINDOW + step - 1)
            expected = (1 - rate) * expected + rate * weights[-1]
        np.testing.assert_allclose(averages[0], expected, atol=1e-6)


def test_constants_say_how_long_the_average_is_and_when_the_gain_is_held():
    assert float(averaging_rate(61, 0, 0.999, window=60.0)) == 0.5
    gains = {}
    for latest in (3, 20):
        w = tf.Variable([5.0, -3.0])
        constants = {"averaging": {"window": 1e9, "latest": latest}}
        optimizer = FuzzyHess(
            seed=0, rule_base=constant_surface(0.05), constants=constants
        )
        with pytest.warns(UserWarning, match="eager"):
            for _ in range(6):
                optimizer.apply([2 * w], [w])
        gains[latest] = optimizer.diagnostics["gain"]
        average = optimizer._model_variables_moving_average[0]
        np.testing.assert_allclose(average, w, rtol=1e-6)
    steps = np.arange(6)
    for latest, gain in gains.items():
        rates = 0.05 / (1 + steps[:latest] / 100)
        assert gain == pytest.approx(np.exp(np.sum(rates)), rel=1e-5)


@pytest.mark.slow
def test_rate_is_that_of_a_training_without_restart_as_long_as_there_is_none():
    steps = tf.range(3000)
    rates = tf.map_fn(
        lambda step: averaging_rate(step, 0, 0.999, WINDOW),
        steps,
        fn_output_signature="float",
    )
    later = tf.cast(steps, tf.float32) - 1
    expected = tf.maximum(WINDOW / (WINDOW + later), 1 - 0.999)
    np.testing.assert_array_equal(rates[1:], expected[1:])
    assert rates[0] == 0


def test_accumulated_minibatches_start_anew_with_the_step():
    model = trained(epochs=6, gradient_accumulation_steps=3)  # 8 steps
    new = shifted(model.get_weights())
    model.set_weights(new)
    x, y = minibatch(model)
    fit(model, (x, y))
    fit(model, (x, y))
    assert_same(model.get_weights(), new)
    fit(model, (x, y))
    assert 0 < distance(model.get_weights(), new) < 0.1


def loss_statistics(optimizer):
    kept = [v for v in optimizer.variables if v.name.startswith("probes.averaged_loss")]
    return [float(value) for value in kept]


@pytest.mark.slow
def test_probes_where_the_average_is_equal_to_the_weights_do_not_count():
    model = trained(probe_interval=2)
    x, y = minibatch(model)
    for _ in range(4):
        before, probes = loss_statistics(model.optimizer), model.optimizer.diagnostics
        for _ in range(2):  # one of them takes a loss probe
            model.train_on_batch(x, y)
        assert model.optimizer.diagnostics["probes"] > probes["probes"]
        assert loss_statistics(model.optimizer) == before
        model.optimizer.finalize_variable_values(model.trainable_variables)
        model.set_weights(shifted(model.get_weights()))
    for _ in range(4):
        model.train_on_batch(x, y)
    assert loss_statistics(model.optimizer)[0] > before[0]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("epochs", [0, 10])
def test_gain_is_held_where_nothing_can_be_measured(steps, epochs):
    """Also if it was, in a longer training before."""
    model = trained(epochs)
    optimizer = model.optimizer
    x, y = minibatch(model)
    gains = []
    for _ in range(30):
        for _ in range(steps):
            model.train_on_batch(x, y)
            gains.append(optimizer.diagnostics["gain"])
        optimizer.finalize_variable_values(model.trainable_variables)
    assert np.ptp(gains[2:]) == 0
    assert max(gains) < 1.2 * min(gains)


def test_gain_moves_again_in_a_longer_training():
    model = trained(10)
    gain = model.optimizer.diagnostics["gain"]
    fit(model, networks.data(model, batches=4), epochs=3)
    assert model.optimizer.diagnostics["gain"] != gain


@pytest.mark.slow
def test_a_resumed_training_is_the_same_to_the_bit(tmp_path):
    """Saved in the midst of a second `fit`."""
    model = trained()
    data = networks.data(model, batches=4)
    model.train_on_batch(*minibatch(model))
    model.save(tmp_path / "model.keras")
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    resumed.compile(resumed.optimizer, networks.cross_entropy, jit_compile=False)
    for each in (model, resumed):
        fit(each, data, epochs=3)
    assert_same(model.get_weights(), resumed.get_weights())
    for a, b in zip(
        model.optimizer.variables, resumed.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_two_replicas_start_anew(two_replicas):
    with two_replicas.scope():
        model = compiled(FuzzyHess(seed=0))
    fit(model, networks.data(model, batches=4), epochs=2)
    new = shifted(model.get_weights())
    model.set_weights(new)
    fit(model, minibatch(model))
    assert 0 < distance(model.get_weights(), new) < 0.1


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@first_fast(run_eagerly=[False, True])
def test_a_weight_without_gradients_stays_where_a_callback_sets_it(run_eagerly):
    """A counter, say, that is a weight like the others."""

    class Counting(keras.Model):
        def __init__(self):
            super().__init__()
            self.counter = self.add_weight(shape=(), initializer="zeros")
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.counter.assign_add(1.0)
            self.kernel = self.model.dense.get_weights()[0]

    model, count = Counting(), Count()
    model.compile(FuzzyHess(seed=0), "mse", run_eagerly=run_eagerly)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    warning = pytest.warns(UserWarning, match="without probes")
    with warning if run_eagerly else contextlib.nullcontext():
        model.fit(x, x, batch_size=2, epochs=3, verbose=0, callbacks=[count])
    assert float(model.counter) == 12.0
    assert (model.dense.get_weights()[0] != count.kernel).any()
