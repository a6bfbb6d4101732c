"""The monitor shows the diagnostics wherever Keras shows logs, and plans the steps."""

import copy
import csv
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess, FuzzyHessMonitor
from tests.helpers import networks

BATCHES = 4


def compiled(optimizer=None, **kwargs):
    model = keras.Sequential(
        [keras.layers.Input((6,)), keras.layers.Dense(networks.CLASSES)]
    )
    optimizer = optimizer or FuzzyHess(seed=0)
    kwargs = {"jit_compile": False} | kwargs
    model.compile(optimizer, networks.cross_entropy, **kwargs)
    return model


@pytest.fixture(scope="module")
def traced():
    model = compiled()
    fit(model)
    return model


@pytest.fixture
def model(traced):
    """Traced once, for tracing takes longer than all the rest; at step 0 again."""
    traced.optimizer.iterations.assign(0)
    traced.optimizer.total_steps = None
    return traced


def fit(model, *callbacks, **kwargs):
    x, y = networks.data(model, BATCHES)
    kwargs = {"epochs": 3, "batch_size": networks.BATCH, "verbose": 0} | kwargs
    return model.fit(x, y, callbacks=list(callbacks), **kwargs)


def test_history_and_csv_have_the_diagnostics_by_name(model, tmp_path):
    for watched in (model, compiled(FuzzyHess.salo())):
        file = tmp_path / f"{watched.optimizer.name}.csv"
        logged = fit(watched, FuzzyHessMonitor(), keras.callbacks.CSVLogger(file))
        last = watched.optimizer.diagnostics
        with open(file) as lines:
            rows = list(csv.DictReader(lines))
        # Keras adds a column "val_..." of NA for each, in case validation comes later.
        named = {name for name in rows[0] if not name.startswith("val_")}
        assert named == {"epoch", "loss", *last}
        for name, value in last.items():
            assert len(logged.history[name]) == len(rows) == 3
            np.testing.assert_equal(logged.history[name][-1], value)
            np.testing.assert_allclose(float(rows[-1][name]), value, rtol=1e-6)


def test_progress_bar_shows_the_diagnostics(model, capsys):
    fit(model, FuzzyHessMonitor(), verbose=2, epochs=1)
    shown = capsys.readouterr().out
    for name in ("step_length", "gain", "probes"):
        assert f"{name}: " in shown


def test_tensorboard_writes_the_diagnostics(model, tmp_path):
    fit(model, FuzzyHessMonitor(), keras.callbacks.TensorBoard(tmp_path))
    (file,) = (tmp_path / "train").glob("events.out.tfevents.*")
    events = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    written = {
        value.tag: float(tf.make_ndarray(value.tensor))
        for event in events
        for value in event.summary.value
        if value.tag.startswith("epoch_")
    }
    for name, value in model.optimizer.diagnostics.items():
        assert written[f"epoch_{name}"] == pytest.approx(value, rel=1e-6)


def test_early_stopping_can_watch_a_diagnostic(model):
    stop = keras.callbacks.EarlyStopping("probes", mode="min", patience=1)
    logged = fit(model, FuzzyHessMonitor(), stop, epochs=9)
    assert len(logged.epoch) == 2


def test_a_record_an_epoch_by_default(model):
    monitor = FuzzyHessMonitor()
    logged = fit(model, monitor)
    assert monitor.history["step"] == [4, 8, 12]
    for name in ("loss", *model.optimizer.diagnostics):
        assert monitor.history[name] == logged.history[name]
    fit(model, monitor, epochs=1)
    assert monitor.history["step"] == [16], "each fit starts anew"


@pytest.mark.parametrize(
    "every, arguments, steps",
    [
        (1, {}, list(range(1, 13))),
        (3, {}, [3, 6, 9, 12]),
        (5, {}, [5, 10]),
        (3, {"steps_per_execution": 2}, [4, 6, 10, 12]),
    ],
)
def test_a_record_every_so_many_steps(model, every, arguments, steps):
    monitor = FuzzyHessMonitor(every=every)
    fit(compiled(**arguments) if arguments else model, monitor)
    assert monitor.history["step"] == steps
    assert {len(values) for values in monitor.history.values()} == {len(steps)}
    assert np.isfinite(monitor.history["loss"]).all()


def test_does_nothing_in_a_step_by_default(model, monkeypatch):
    reads = []
    monkeypatch.setattr(
        FuzzyHess, "diagnostics", property(lambda self: reads.append(1) or {})
    )
    monitor = FuzzyHessMonitor()
    assert monitor.async_safe, "Keras must not wait for it after each step"
    fit(model, monitor)
    assert len(reads) == 3
    assert not FuzzyHessMonitor(every=1).async_safe


@pytest.mark.parametrize(
    "optimizer, fits, planned",
    [
        ({}, [{}], [12]),
        ({}, [{}, {"epochs": 2}], [12, 20]),
        ({}, [{"epochs": 5, "initial_epoch": 3}], [8]),
        ({}, [{"steps_per_epoch": 2, "epochs": 2}], [4]),
        ({"gradient_accumulation_steps": 2}, [{}], [6]),
        ({"gradient_accumulation_steps": 7}, [{}, {}], [1, 3]),
        ({"total_steps": 50}, [{}], [50]),
    ],
)
def test_plans_the_steps_of_fit(model, optimizer, fits, planned):
    if optimizer:
        model = compiled(FuzzyHess(seed=0, **optimizer))
    monitor = FuzzyHessMonitor(set_total_steps=True)
    for arguments, total in zip(fits, planned, strict=True):
        logged = fit(model, monitor, **arguments)
        assert model.optimizer.total_steps == total
        steps = int(model.optimizer.iterations)
        assert logged.history["progress"][-1] == pytest.approx(steps / total)


def test_leaves_the_plan_alone_unless_asked(model):
    fit(model, FuzzyHessMonitor())
    assert model.optimizer.total_steps is None


def test_a_plan_takes_effect_in_a_traced_train_function(model):
    """The rules for late training must apply at the end of a later fit as well."""
    fit(model)
    traced = model.train_function
    assert model.optimizer.diagnostics["progress"] == pytest.approx(12 / 1012)
    fit(model, FuzzyHessMonitor(set_total_steps=True), epochs=1)
    assert model.train_function is traced
    assert model.optimizer.diagnostics["progress"] == 1.0
    beta_3 = model.optimizer.diagnostics["beta_3"]
    model.optimizer.total_steps = 10_000
    fit(model, epochs=1)
    assert model.optimizer.diagnostics["beta_3"] < beta_3 - 0.01, "early again"


def test_the_plan_is_saved_with_the_state(model, tmp_path):
    fit(model, FuzzyHessMonitor(set_total_steps=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.total_steps == 12
    fit(loaded, FuzzyHessMonitor(set_total_steps=True))
    assert loaded.optimizer.total_steps == 24, "a plan that is over is made anew"
    loaded.optimizer.total_steps = 100
    fit(loaded, FuzzyHessMonitor(set_total_steps=True))
    assert loaded.optimizer.total_steps == 100, "one that is not over is kept"
    loaded.optimizer.total_steps = None
    fit(loaded, FuzzyHessMonitor(set_total_steps=True))
    assert loaded.optimizer.total_steps == 48
    with pytest.raises(ValueError, match=r"`total_steps` must be.*Received"):
        loaded.optimizer.total_steps = 0


@pytest.mark.slow
def test_plans_on_two_replicas(two_replicas):
    with two_replicas.scope():
        model = compiled()
    monitor = FuzzyHessMonitor(set_total_steps=True)
    batches = tf.data.Dataset.from_tensor_slices(networks.data(model, BATCHES))
    logged = model.fit(
        batches.batch(networks.BATCH),
        epochs=2,
        verbose=0,
        shuffle=False,
        callbacks=[monitor],
    )
    assert model.optimizer.total_steps == 8
    assert logged.history["progress"] == [0.5, 1.0]


def test_refuses_to_plan_data_of_unknown_length(model):
    batch = networks.data(model)
    endless = tf.data.Dataset.from_generator(
        lambda: iter([batch]),
        output_signature=tuple(tf.TensorSpec(part.shape, part.dtype) for part in batch),
    )
    monitor = FuzzyHessMonitor(set_total_steps=True)
    with pytest.raises(ValueError, match=r"unknown length.*steps_per_epoch"):
        model.fit(endless, verbose=0, shuffle=False, callbacks=[monitor])


def test_refuses_other_optimizers():
    model = compiled(keras.optimizers.Adam())
    with pytest.raises(TypeError, match=r"Received: .*Adam.*optimizer=FuzzyHess\(\)"):
        fit(model, FuzzyHessMonitor())


def test_refuses_names_that_are_taken(model):
    with pytest.raises(ValueError, match=r"no entry.*Received: beta_3, .*gain"):
        fit(model, FuzzyHessMonitor(), FuzzyHessMonitor())


@pytest.mark.parametrize("every", [0, -1, 2.0, True, "all"])
def test_refuses_an_interval_that_is_none(every):
    with pytest.raises(ValueError, match=r"`every` must be.*Received: every="):
        FuzzyHessMonitor(every)


def test_refuses_a_plan_that_is_no_bool():
    with pytest.raises(TypeError, match=r"must be a bool.*set_total_steps=100"):
        FuzzyHessMonitor(set_total_steps=100)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_before_and_after_training(model, duplicate):
    fresh = duplicate(FuzzyHessMonitor(every=2, set_total_steps=True))
    fit(model, fresh)
    assert fresh.history["step"] == [2, 4, 6, 8, 10, 12]
    copied = duplicate(fresh)
    assert copied.history == fresh.history
    assert copied.model is None
    fit(model, copied, epochs=1)
    assert copied.history["step"] == [14, 16]
    assert fresh.history["step"][-1] == 12, "the copy shares nothing"
