"""The ImageNet example from its command line."""

import csv
import json
import re
import signal
import subprocess
import sys
import time

import imagenet
import keras
import numpy as np
import pytest
from strategies import make_strategy, worker_name
from user_error import UserError

import keras_fuzzyhess  # noqa: F401, so that its optimizer can be loaded

SCRIPT = imagenet.__file__


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def command(data_dir, output, *arguments):
    return [
        *(sys.executable, SCRIPT, "--data", "mini", "--data-dir", data_dir),
        *("--model", "small", "--image-size", "32", "--batch-size", "16"),
        *("--output", output, *arguments),
    ]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True)


def log_of(output):
    path = output / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def kill_in_third_epoch(arguments, output):
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (output / "backup" / "training_metadata.json").exists() or (
            len(log_of(output)) < 2
        ):
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert len(log_of(output)) == 2, "no longer in the third epoch"
    assert not (output / "result.json").exists()


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(data_dir, tmp_path):
    """FuzzyHess with BatchNorm, dropout, augmentation and a plan of steps."""
    settings = ("--optimizer", "fuzzyhess", "--epochs", "4", "--steps-per-epoch", "60")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    uninterrupted = run(data_dir, whole, *settings)
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    kill_in_third_epoch((data_dir, parts, *settings), parts)
    resumed = run(data_dir, parts, *settings)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search("Goes on after [12] of 4 epochs", resumed.stdout)
    models = [keras.saving.load_model(run / "final.keras") for run in (whole, parts)]
    states = [
        m.get_weights() + [v.numpy() for v in m.optimizer.variables] for m in models
    ]
    for a, b in zip(*states, strict=True):
        assert np.array_equal(a, b)
    for name in ("epoch", "loss", "val_loss", "gain", "probes"):
        assert [row[name] for row in log_of(whole)] == [
            row[name] for row in log_of(parts)
        ]
    result = json.loads((parts / "result.json").read_text())
    probes = float(log_of(parts)[-1]["probes"])
    assert result["epochs"][-1]["gradient_evaluations"] == 240 + probes
    assert result["images_per_second"] > 0
    assert (parts / "best.keras").exists() and not (parts / "backup").exists()
    assert list((parts / "tensorboard").rglob("events*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer, flag",
    [("fuzzyhess", "--jit-compile"), ("salo", "--precision=mixed_bfloat16")],
)
def test_trains_with_xla_and_in_bfloat16(optimizer, flag, data_dir, tmp_path):
    """Twelve steps, probes among them; all four pairs are in `tests/contract`."""
    options = [flag, "--no-deterministic", "--epochs", "2", "--steps-per-epoch", "6"]
    made = command(data_dir, tmp_path, *options, "--optimizer", optimizer)
    imagenet.train(imagenet.parse(list(map(str, made[2:]))))
    first, last = json.loads((tmp_path / "result.json").read_text())["epochs"]
    assert last["loss"] < first["loss"]
    assert last["probes"] > 0


@pytest.mark.slow
def test_an_error_is_a_sentence(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            *("--data-dir", tmp_path / "data", "--manual-dir", tmp_path),
            *("--output", tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "imagenet.py: ImageNet needs ILSVRC2012_img_train.tar" in result.stderr
    assert not (tmp_path / "out").exists()


def test_multiworker_needs_its_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG"):
        make_strategy("multiworker")


def test_one_device_is_no_strategy_and_writes_the_result():
    assert worker_name(make_strategy("none")) is None
    assert make_strategy("auto").num_replicas_in_sync == 1
