"""A network with a matrix that is kept by its rows and columns, as users train one.

The networks of the contract are too small for that.
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.state.mean_squares import Factors
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, fit

STEPS = 24
"""Probes of every kind among them."""

POWERS = first_fast(power=[0.5, 1.0])


def compiled(power=0.5, jit_compile=False, scope=None):
    keras.utils.set_random_seed(0)
    with scope or contextlib.nullcontext():
        layers = [keras.layers.Dense(256, "tanh") for _ in range(2)]
        model = keras.Sequential(
            [keras.Input((6,)), *layers, keras.layers.Dense(networks.CLASSES)]
        )
        model.compile(
            FuzzyHess(seed=0, probe_interval=4, curvature_power=power),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=jit_compile,
        )
    return model


def trained(model):
    fit(model, networks.data(model, STEPS))
    return model


def factors(optimizer):
    curvature = optimizer.algorithm.curvature
    states = [optimizer.direction.scaled._velocity]
    states += [curvature._average] if curvature else []
    everything = range(len(optimizer._trainable_variables))
    found = [a for s in states for a in s.read(everything) if isinstance(a, Factors)]
    return [np.array(tf.convert_to_tensor(side)) for f in found for side in f]


@POWERS
def test_it_learns_and_measures(power):
    model = compiled(power)
    x, y = networks.data(model)
    before = model.evaluate(x, y, verbose=0)
    fit(model, (x, y), epochs=STEPS)
    assert model.evaluate(x, y, verbose=0) < 0.5 * before
    rows_and_columns = factors(model.optimizer)
    kept = 4 if power else 2  # of squared gradients, and of curvature if it is used
    assert [len(side) for side in rows_and_columns] == [256] * kept
    assert all((side > 0).all() for side in rows_and_columns)
    assert model.optimizer.diagnostics["dropped_probes"] == 0


@pytest.mark.slow
@POWERS
def test_two_replicas_and_xla_take_the_steps_of_one_without(power, two_replicas):
    plain = trained(compiled(power)).get_weights()
    start = compiled(power).get_weights()
    for other in (
        compiled(power, scope=two_replicas.scope()),
        compiled(power, jit_compile=True),
    ):
        error = networks.relative_error(trained(other).get_weights(), plain, start)
        assert error < 1e-3


@pytest.mark.slow
def test_a_saved_training_goes_on_to_the_bit(tmp_path):
    model = trained(compiled())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(factors(loaded.optimizer), factors(model.optimizer))
    for each in (model, loaded):
        trained(each)
    assert_same(loaded.get_weights(), model.get_weights())


def test_a_frozen_matrix_keeps_its_factors():
    model = trained(compiled())
    before = factors(model.optimizer)
    weights = model.layers[1].get_weights()
    model.layers[1].trainable = False
    model.compile(model.optimizer, model.loss, jit_compile=False)
    trained(model)
    assert_same(factors(model.optimizer), before)
    assert_same(model.layers[1].get_weights(), weights)
