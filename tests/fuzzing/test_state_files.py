"""A damaged file is an error, or what is read from it is what was saved."""

import functools
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_fuzzyhess import SALO, FuzzyHess
from tests import networks
from tests.fuzzing.budget import draws
from tests.fuzzing.damage import damaged


def begun(make):
    """As after some steps, none of which need be traced."""
    model = networks.dense()
    model.compile(make(seed=0) if make is FuzzyHess else make(), networks.cross_entropy)
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables[2:]:
        value = rng.integers(1, 100, variable.shape)
        variable.assign(tf.cast(value, variable.dtype))
    return model


def values(variables):
    return [v.numpy() for v in variables]


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


@functools.cache
def saved(make, ending):
    """A model and the bytes of its file."""
    model = begun(make)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{ending}"
        (model.save if ending == ".keras" else model.save_weights)(path)
        return model, path.read_bytes()


both = pytest.mark.parametrize("make", [FuzzyHess, SALO])


@both
@draws(few=30, many=2500)
@given(data=st.data())
def test_a_damaged_model_is_refused_or_as_it_was(make, data):
    model, content = saved(make, ".keras")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data.draw(damaged(content)))
        try:
            loaded = keras.saving.load_model(path)
        except Exception:
            return
    assert_same(loaded.get_weights(), model.get_weights())
    assert_same(values(loaded.optimizer.variables), values(model.optimizer.variables))
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


@both
@draws(few=30, many=2500)
@given(data=st.data())
def test_a_damaged_state_is_refused_or_as_it_was(make, data):
    """Of the weights beside it, Keras keeps no checksum in such a file."""
    model, content = saved(make, ".weights.h5")
    loaded = begun(make)
    for variable in loaded.optimizer.variables:
        variable.assign(tf.zeros_like(variable.value))
    with tempfile.TemporaryDirectory() as folder:
        # A name of its own, for Keras leaves a file open that it could not read.
        path = Path(folder) / "model.weights.h5"
        path.write_bytes(data.draw(damaged(content)))
        try:
            loaded.load_weights(path)
        except Exception:
            if not any(map(np.any, values(loaded.optimizer.variables))):
                return  # untouched; if the error is one of a layer, it is loaded
    assert_same(values(loaded.optimizer.variables), values(model.optimizer.variables))
