"""Ten skipped steps in a row bring one warning, at the next place that can warn."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess, FuzzyHessMonitor
from keras_fuzzyhess.backend.finite_steps import PATIENCE
from tests.helpers import networks
from tests.helpers.small_training import compiled, fit


def told(caught):
    return [warning for warning in caught if "in a row" in str(warning.message)]


def bad_batches(number):
    """Minibatches without a good one, for `networks.dense`."""
    count = number * networks.BATCH
    return np.full((count, 6), np.nan), np.zeros(count)


def test_minimize_warns_once_at_the_tenth_in_a_row():
    w, optimizer = tf.Variable([1.0, 2.0]), FuzzyHess(seed=0)

    def steps(factor, number):
        for _ in range(number):
            optimizer.minimize(lambda: factor * tf.reduce_sum(w**2), [w])

    steps(np.nan, PATIENCE - 1)
    steps(1.0, 1)
    steps(np.nan, PATIENCE - 1)
    with pytest.warns(UserWarning, match=r"skipped 10 steps.*numbers in the data"):
        steps(np.nan, 1)
    steps(np.nan, PATIENCE)
    steps(1.0, 1)
    with pytest.warns(UserWarning, match="39 of all steps"):
        steps(np.nan, PATIENCE)
    assert optimizer.diagnostics["skipped_in_a_row"] == PATIENCE


@pytest.mark.parametrize(
    "make",
    [FuzzyHess, SALO, lambda: SALO(use_ema=True)],
    ids=["fuzzyhess", "salo", "salo with use_ema"],
)
def test_fit_warns_at_its_end_and_leaves_the_weights(make):
    model = compiled(make())
    before = model.get_weights()
    fit(model, bad_batches(PATIENCE - 1))
    with pytest.warns(UserWarning, match="10 of all steps so far"):
        fit(model, bad_batches(1))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    fit(model, networks.data(model))
    assert model.optimizer.diagnostics["skipped_in_a_row"] == 0


def test_the_monitor_warns_after_the_epoch_and_logs_the_counters():
    model, seen = compiled(FuzzyHess(seed=0)), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        look = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(len(told(caught)))
        )
        callbacks = [FuzzyHessMonitor(), look]
        logged = fit(model, bad_batches(PATIENCE), epochs=2, callbacks=callbacks)
    assert seen == [1, 1]
    assert len(told(caught)) == 1
    assert logged.history["skipped_steps"] == [PATIENCE, 2 * PATIENCE]


def test_a_warning_that_is_due_outlives_saving(tmp_path):
    model = compiled(FuzzyHess(seed=0))
    with pytest.warns(UserWarning, match="in a row"):
        fit(model, bad_batches(PATIENCE))
    model.save(tmp_path / "told.keras")
    model.optimizer._finite._warnings_due.assign(1)
    model.save(tmp_path / "due.keras")
    keras.saving.load_model(tmp_path / "told.keras").optimizer.warn_of_skipped_steps()
    with pytest.warns(UserWarning, match="10 of all steps"):
        keras.saving.load_model(
            tmp_path / "due.keras"
        ).optimizer.warn_of_skipped_steps()
