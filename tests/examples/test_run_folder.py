"""What a killed run finds again, in whatever state the kill has left it."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from run_callbacks import SeedsOfEpoch, make_callbacks
from run_folder import METADATA, WEIGHTS, RunFolder
from user_error import UserError

from tests.helpers.fast import first_fast

STEPS = 4
SETTINGS = {"optimizer": "sgd", "batch_size": 8}


def make_model(**arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, **arguments),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def data():
    x = np.random.default_rng(0).normal(size=(8 * STEPS, 3)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32")


def fit(path, epochs, verbose=0, without=(), **arguments):
    """Trains up to `epochs`, on from a backup; leaves it as a kill would."""
    folder = RunFolder(path, SETTINGS)
    model = make_model(**arguments)
    folder.restore(model, STEPS)
    x, y = data()
    callbacks = make_callbacks(folder, model.optimizer, 0, len(x))
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        validation_data=(x, y),
        verbose=verbose,
        callbacks=[c for c in callbacks if not isinstance(c, without)],
    )
    return folder, model


def same_weights(model, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True)
    )


def test_goes_on_as_if_it_had_never_stopped(tmp_path):
    whole_folder, whole = fit(tmp_path / "whole", 4)
    fit(tmp_path / "parts", 2)
    folder, model = fit(tmp_path / "parts", 4)
    assert same_weights(model, whole)
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    for row, other in zip(folder.read_log(), whole_folder.read_log(), strict=True):
        assert [row[n] for n in names] == [other[n] for n in names]


def test_the_progress_bar_shows_images_a_second_in_every_step(tmp_path, capsys):
    folder, _ = fit(tmp_path, 1, verbose=1)
    printed = capsys.readouterr().out
    shown = re.findall(r"1/4[^\r\n]*images_per_second: ([\d.]+)", printed)
    assert shown and float(shown[0]) > 0
    assert set(folder.read_log()[0]) >= {"loss", "accuracy", "images_per_second"}


def test_dropout_draws_other_masks_in_every_epoch_and_for_every_seed():
    model = make_model()
    (state,) = [v for v in model.variables if "seed_generator" in v.path]

    def drawn(seed, epoch):
        callback = SeedsOfEpoch(seed)
        callback.set_model(model)
        callback.on_epoch_begin(epoch)
        return state.numpy().tolist()

    assert drawn(0, 0) == drawn(0, 0)
    assert len({tuple(drawn(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_a_kill_between_weights_and_epoch_number_repeats_no_epoch(tmp_path):
    folder, trained = fit(tmp_path, 2)
    stale = json.dumps({"epoch": 1, "batch": 0})
    (folder.backup / METADATA).write_text(stale)
    model = make_model()
    assert folder.restore(model, STEPS) == 2
    assert same_weights(model, trained)
    (folder.backup / METADATA).write_text("")
    assert folder.restore(model, STEPS) == 2
    assert json.loads((folder.backup / METADATA).read_text())["epoch"] == 2


@first_fast(share=[0.3, 0.0, 0.9])
def test_a_kill_while_the_weights_are_written_loses_one_epoch(tmp_path, share):
    _, one = fit(tmp_path, 1)
    folder, _ = fit(tmp_path, 2)
    weights = folder.backup / WEIGHTS
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    model = make_model()
    assert folder.restore(model, STEPS) == 1
    assert same_weights(model, one)
    assert [row["epoch"] for row in folder.read_log()] == [0]


def test_a_kill_while_the_first_backup_is_written_begins_anew(tmp_path):
    folder, _ = fit(tmp_path, 1)
    (folder.backup / WEIGHTS).write_bytes(b"")
    model = make_model()
    assert folder.restore(model, STEPS) == 0
    assert same_weights(model, make_model())
    assert folder.read_log() == []


def test_a_kill_while_another_file_is_written_leaves_the_former(tmp_path, monkeypatch):
    folder, _ = fit(tmp_path, 1)
    write_bytes = Path.write_bytes

    def killed(path, content):
        write_bytes(path, content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    for write in (
        lambda: RunFolder(tmp_path, SETTINGS),
        lambda: folder.restore(make_model(), STEPS),
        lambda: folder.finish({"loss": 0.5}),
    ):
        with pytest.raises(KeyboardInterrupt):
            write()
    monkeypatch.undo()
    folder = RunFolder(tmp_path, SETTINGS)
    assert folder.restore(make_model(), STEPS) == 1
    assert [row["epoch"] for row in folder.read_log()] == [0]


def test_the_best_epoch_is_not_overwritten_by_a_worse_one(tmp_path):
    folder, model = fit(tmp_path, 1)
    best = max(row["val_accuracy"] for row in folder.read_log())
    checkpoint = make_callbacks(folder, model.optimizer, 0, 1)[-2]
    assert checkpoint.best == best


def test_the_best_epoch_has_the_weights_that_were_validated(tmp_path):
    """The averages, where the optimizer keeps them; and training goes on without."""
    ema = {"use_ema": True, "ema_momentum": 0.8}
    folder, model = fit(tmp_path / "with", 3, **ema)
    best = keras.saving.load_model(folder.best)
    row = max(folder.read_log(), key=lambda row: row["val_accuracy"])
    loss, accuracy = best.evaluate(*data(), verbose=0)
    assert loss == pytest.approx(row["val_loss"], rel=1e-5)
    assert accuracy == pytest.approx(row["val_accuracy"])
    checkpoint = keras.callbacks.ModelCheckpoint
    _, undisturbed = fit(tmp_path / "without", 3, without=checkpoint, **ema)
    assert same_weights(model, undisturbed)


def test_an_interrupted_run_keeps_its_settings(tmp_path):
    fit(tmp_path, 1)
    with pytest.raises(UserError, match=r"--batch-size 8 \(now 16\)"):
        RunFolder(tmp_path, SETTINGS | {"batch_size": 16})
    RunFolder(tmp_path, SETTINGS)


def test_a_finished_run_is_not_overwritten(tmp_path):
    folder, _ = fit(tmp_path, 1)
    folder.finish({"loss": 0.5})
    assert not folder.backup.exists()
    with pytest.raises(UserError, match="finished run"):
        RunFolder(tmp_path, SETTINGS)
