"""What is saved, copied or exported goes on as if nothing had happened."""

import copy
import dataclasses
import functools
import pickle
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.contract.problems import dense
from tests.contract.registry import holds_in
from tests.contract.training import (
    COMPARED,
    FURTHER,
    LEARNED,
    assert_whole,
    fit,
    mean_loss,
)
from tests.helpers.small_training import assert_same

PROBLEM = dense()


def state(model):
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def set_state(model, values):
    variables = [*model.variables, *model.optimizer.variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclasses.dataclass
class Trained:
    """A model, and its state at the start, in the middle and at the end."""

    model: keras.Model
    start: list
    middle: list
    end: list

    def in_the_middle(self) -> keras.Model:
        set_state(self.model, self.middle)
        return self.model


@functools.cache
def trained(make) -> Trained:
    """Trained once for all situations, for tracing takes longer than all the rest."""
    model = PROBLEM.compiled(make())
    model.optimizer.build(model.trainable_variables)
    loss = mean_loss(model, PROBLEM)
    states = [state(model)]
    for epochs in (COMPARED, FURTHER):
        fit(model, PROBLEM.batches(), epochs)
        states.append(state(model))
    assert mean_loss(model, PROBLEM) < LEARNED * loss
    return Trained(model, *states)


def goes_on(restore, make):
    """What `restore` makes of a model in training takes the same further steps."""
    original = trained(make)
    model = original.in_the_middle()
    with tempfile.TemporaryDirectory() as folder:
        restored = restore(model, Path(folder))
    assert_same(state(model), original.middle)
    assert_same(state(restored), original.middle)
    assert restored.optimizer.get_config() == model.optimizer.get_config()
    fit(restored, PROBLEM.batches(), FURTHER)
    assert_same(state(restored), original.end)
    assert_whole(restored)


@holds_in("pickling (`pickle`, `copy.deepcopy`)")
def pickling(make):
    goes_on(lambda model, folder: pickle.loads(pickle.dumps(model)), make)
    assert_same(
        state(copy.deepcopy(trained(make).in_the_middle())), trained(make).middle
    )


@holds_in("`keras.models.clone_model`")
def clone_model(make):
    """A clone has the architecture; what `compile` was given makes a new optimizer."""
    original = trained(make)
    clone = keras.models.clone_model(original.model)
    clone.compile_from_config(original.model.get_compile_config())
    set_state(clone, original.start)
    fit(clone, PROBLEM.batches(), COMPARED)
    assert_same(state(clone), original.middle)


@holds_in("`.keras` file")
def keras_file(make):
    def restore(model, folder):
        model.save(folder / "model.keras")
        return keras.saving.load_model(folder / "model.keras")

    goes_on(restore, make)


def new_model(make):
    """As a script that resumes makes it, before it loads the state."""
    model = PROBLEM.compiled(make())
    model.optimizer.build(model.trainable_variables)
    return model


@holds_in("`.weights.h5` file")
def weights_file(make):
    def restore(model, folder):
        model.save_weights(folder / "model.weights.h5")
        restored = new_model(make)
        restored.load_weights(folder / "model.weights.h5")
        return restored

    goes_on(restore, make)


@holds_in("`tf.train.Checkpoint`")
def checkpoint(make):
    def restore(model, folder):
        saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        path = saved.write(str(folder / "checkpoint"))
        restored = new_model(make)
        reader = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer)
        reader.read(path).assert_consumed()
        return restored

    goes_on(restore, make)


@holds_in("SavedModel (`model.export`)")
def saved_model(make):
    """It predicts as the model does, and the training goes on."""

    def restore(model, folder):
        model.export(folder / "exported", verbose=False)
        served = tf.saved_model.load(str(folder / "exported"))
        x = PROBLEM.data[0]
        np.testing.assert_allclose(served.serve(x), model(x), atol=1e-5)
        return model

    goes_on(restore, make)
