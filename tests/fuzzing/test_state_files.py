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

from tests.fuzzing.budget import draws
from tests.fuzzing.damage import damaged
from tests.helpers.small_training import OPTIMIZERS, assert_same, begun, either


def values(variables):
    return [v.numpy() for v in variables]


@functools.cache
def saved(name, ending):
    """A model and the bytes of its file."""
    model = begun(OPTIMIZERS[name]())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{ending}"
        (model.save if ending == ".keras" else model.save_weights)(path)
        return model, path.read_bytes()


@either
@draws(few=30, many=2500)
@given(data=st.data())
def test_a_damaged_model_is_refused_or_as_it_was(name, data):
    model, content = saved(name, ".keras")
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


@pytest.mark.slow
@either
@draws(few=30, many=2500)
@given(data=st.data())
def test_a_damaged_state_is_refused_or_as_it_was(name, data):
    """Of the weights beside it, Keras keeps no checksum in such a file."""
    model, content = saved(name, ".weights.h5")
    loaded = begun(OPTIMIZERS[name]())
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
