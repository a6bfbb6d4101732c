"""Files without a state to continue from: the weights come, the optimizer begins."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import each_value_fast
from tests.helpers.small_training import assert_same, begun, compiled

BOTH = pytest.mark.parametrize("make", [FuzzyHess, SALO])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.weights.h5"


def state(model):
    return [v.numpy() for v in model.optimizer.variables]


def first_state(optimizer):
    """Of an optimizer of that kind before its first step, by name."""
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(optimizer._trainable_variables)
    return fresh.variables


def started_anew(optimizer):
    """All that depends on what was trained is as before the first step."""
    for variable, first in zip(
        optimizer.variables, first_state(optimizer), strict=True
    ):
        if variable.name not in ("seed_generator_state", "learning_rate"):
            np.testing.assert_array_equal(variable, first, variable.name)


def without_optimizer(path):
    networks.dense().save_weights(path)
    return "none"


def of_adam(path):
    model = compiled(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    model.save_weights(path)
    return "another optimizer"


def of_adam_with_its_model(path):
    model = compiled(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    model.save(path.with_suffix(".keras"))
    path.with_suffix(".keras").rename(path.with_name("adam.keras"))
    return "another optimizer"


@each_value_fast(
    write=[without_optimizer, of_adam, of_adam_with_its_model],
    make=[FuzzyHess, SALO],
)
def test_a_file_without_a_state_of_ours_starts_anew(make, write, path):
    told = write(path)
    (file,) = path.parent.iterdir()
    for skip_mismatch in (False, True):
        for model in (compiled(make()), begun(make())):
            with pytest.warns(UserWarning, match="starts anew.*loaded") as warned:
                model.load_weights(file, skip_mismatch=skip_mismatch)
            assert len(warned) == 1 and told in str(warned[0].message)
            weights = networks.dense()
            weights.load_weights(file)
            assert_same(model.get_weights(), weights.get_weights())
            model.optimizer.build(model.trainable_variables)
            started_anew(model.optimizer)
    model.train_on_batch(*networks.data(model))
    assert int(model.optimizer.iterations) == 1


def test_what_was_loaded_before_is_forgotten_with_the_next_file(tmp_path, path):
    begun(FuzzyHess()).save_weights(path)
    of_adam(tmp_path / "adam.weights.h5")
    model = compiled(FuzzyHess())
    model.load_weights(path)
    with pytest.warns(UserWarning, match="starts anew"):
        model.load_weights(tmp_path / "adam.weights.h5")
    model.optimizer.build(model.trainable_variables)
    started_anew(model.optimizer)


@pytest.mark.parametrize("make, other", [(FuzzyHess, SALO), (SALO, FuzzyHess)])
def test_fuzzyhess_and_salo_start_anew_from_each_others_states(make, other, path):
    begun(make()).save_weights(path)
    model = begun(other())
    with pytest.warns(UserWarning, match="another optimizer"):
        model.load_weights(path)
    started_anew(model.optimizer)


@BOTH
def test_a_file_from_before_the_first_step_brings_that_back(make, path):
    """As every fold of a cross-validation does; the plan and the rate are kept."""
    compiled(make()).save_weights(path)
    model = begun(make())
    model.optimizer.learning_rate = 0.125
    model.optimizer.total_steps = 50
    model.load_weights(path)
    assert float(model.optimizer.learning_rate) == 0.125
    assert model.optimizer.total_steps == 50
    model.optimizer.total_steps = None
    started_anew(model.optimizer)


@BOTH
def test_a_tensorflow_checkpoint_brings_the_state_back(make, path):
    model = begun(make())
    written = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(
        str(path)
    )
    for other in (begun(make()), compiled(make())):
        other.optimizer.build(other.trainable_variables)
        for variable in other.optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        checkpoint = tf.train.Checkpoint(model=other, optimizer=other.optimizer)
        checkpoint.read(written).assert_existing_objects_matched()
        assert_same(state(other), state(model))
