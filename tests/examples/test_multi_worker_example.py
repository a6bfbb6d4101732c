"""The ImageNet example on two worker processes and on two devices of one process."""

import csv
import json
import os
import subprocess
import sys

import imagenet
import imagenet_data
import keras
import numpy as np
import pytest
import tensorflow as tf
from user_error import UserError

import keras_fuzzyhess  # noqa: F401, so that its optimizer can be loaded
from tests.helpers.processes import free_ports

SETTINGS = (
    *("--data", "mini", "--model", "small", "--image-size", "32"),
    *("--batch-size", "16", "--epochs", "2", "--steps-per-epoch", "4"),
)
STEPS = 4
VALIDATION_STEPS = 100 // 16
MEASURED_BY_CLOCK = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Prepared already: two processes that prepare one folder disturb each other."""
    folder = tmp_path_factory.mktemp("data")
    imagenet_data.open_source("mini", folder)
    return folder


def run_two_workers(data_dir, output):
    """Status and errors of each."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    try:
        for index in range(2):
            config = {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
            workers.append(
                subprocess.Popen(
                    [
                        *(sys.executable, imagenet.__file__, *SETTINGS),
                        *("--strategy", "multiworker", "--optimizer", "fuzzyhess"),
                        *("--data-dir", data_dir, "--output", output),
                    ],
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        errors = [worker.communicate(timeout=150)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return [worker.returncode for worker in workers], errors


def log_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [
            {k: float(v) for k, v in row.items() if k not in MEASURED_BY_CLOCK}
            for row in csv.DictReader(file)
        ]


def evaluate(model, data_dir, context):
    """Loss and accuracy on the images that the example validates on."""
    batches = imagenet_data.validation_batches(
        imagenet_data.open_source("mini", data_dir), 32, 16, context, True
    )
    share = VALIDATION_STEPS * context.num_replicas_in_sync
    loss, accuracy, _ = model.evaluate(
        batches.take(share // context.num_input_pipelines), verbose=0
    )
    return loss, accuracy


@pytest.mark.slow
def test_two_workers_train_one_model(data_dir, tmp_path):
    statuses, errors = run_two_workers(data_dir, tmp_path)
    assert statuses == [0, 0], errors
    folders = (tmp_path, tmp_path / "worker-1")
    assert list(tmp_path.rglob("result.json")) == [tmp_path / "result.json"]
    assert not list(tmp_path.rglob("backup"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["environment"]["replicas"] == 2

    logs = [log_of(folder) for folder in folders]
    assert logs[0] == logs[1]
    assert [row["epoch"] for row in logs[0]] == [0, 1]
    assert logs[0][1]["loss"] < logs[0][0]["loss"]

    # Loads as a plain model, without what lets `fit` run.
    models = [keras.saving.load_model(folder / "final.keras") for folder in folders]
    states = [m.trainable_variables + m.optimizer.variables for m in models]
    for first, second in zip(*states, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=first.path)
    assert int(models[0].optimizer.iterations) == 2 * STEPS

    # Each worker has moving statistics of its own and validates on its own share.
    own = [
        evaluate(model, data_dir, tf.distribute.InputContext(2, worker, 2))
        for worker, model in enumerate(models)
    ]
    loss, accuracy = np.mean(own, axis=0)
    assert logs[0][-1]["val_loss"] == pytest.approx(loss, rel=1e-4)
    assert logs[0][-1]["val_accuracy"] == pytest.approx(accuracy, rel=1e-4)


@pytest.mark.slow
def test_workers_that_restored_different_epochs_refuse_to_go_on(data_dir, tmp_path):
    arguments = imagenet.parse([*SETTINGS, "--optimizer", "fuzzyhess"])
    model = imagenet.compiled_model(arguments, 10, STEPS)
    model.optimizer.iterations.assign(STEPS)
    backup = tmp_path / "worker-1" / "backup"
    backup.mkdir(parents=True)
    model.save_weights(backup / "latest.weights.h5")
    (tmp_path / "worker-1" / "log.csv").write_text("epoch,loss\n0,1.0\n")
    statuses, errors = run_two_workers(data_dir, tmp_path)
    assert statuses == [1, 1]
    for error in errors:
        assert "Traceback" not in error
        assert "Received: backups after 0 and 1 finished epochs" in error
    assert (backup / "latest.weights.h5").exists()


@pytest.mark.slow
def test_two_devices_count_every_image_once(
    data_dir, tmp_path, two_replicas, monkeypatch
):
    """Two CPUs in place of the GPUs that `--strategy mirrored` takes."""
    monkeypatch.setattr(imagenet, "make_strategy", lambda name: two_replicas)
    where = ["--data-dir", str(data_dir), "--output", str(tmp_path)]
    imagenet.train(imagenet.parse([*SETTINGS, "--strategy", "mirrored", *where]))
    last = log_of(tmp_path)[-1]
    model = keras.saving.load_model(tmp_path / "final.keras")
    loss, _ = evaluate(model, data_dir, tf.distribute.InputContext(1, 0, 2))
    # The second device's moving statistics differ a little from the saved ones.
    assert last["val_loss"] == pytest.approx(loss, rel=1e-2)
    images = 96 * last["val_accuracy"]
    assert images == pytest.approx(round(images), abs=1e-3)


def test_several_devices_need_a_whole_minibatch_of_validation(data_dir, two_replicas):
    source = imagenet_data.open_source("mini", data_dir)
    arguments = imagenet.parse(["--data", "mini", "--batch-size", "200"])
    with pytest.raises(UserError, match="at most the 100 validation.*200"):
        imagenet.steps_of_epoch(arguments, source, two_replicas)
    alone = tf.distribute.get_strategy()
    assert imagenet.steps_of_epoch(arguments, source, alone) == 2
