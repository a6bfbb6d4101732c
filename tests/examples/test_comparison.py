"""Results of runs become a table and a picture."""

import copy
import json

import comparison
import pytest
from user_error import UserError


def result(optimizer="adam", val_loss=1.5, **settings):
    row = {
        "epoch": 0.0,
        "loss": 1.25,
        "val_loss": val_loss,
        "accuracy": 0.5,
        "val_accuracy": 0.25,
        "val_top_5": 0.75,
        "gradient_evaluations": 12.0,
    }
    return {
        "settings": {
            "data": "mini",
            "model": "small",
            "image_size": 32,
            "epochs": 2,
            "steps_per_epoch": None,
            "batch_size": 8,
            "optimizer": optimizer,
            "learning_rate": None,
            "seed": 0,
        }
        | settings,
        "epochs": [row | {"val_loss": 3.0}, row | {"gradient_evaluations": 24.0}],
        "training_seconds": 3.25,
        "images_per_second": 100.5,
    }


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_the_table_has_the_last_epoch_of_each_run_best_first():
    lines = comparison.table(
        [result("adam"), result("sgd", 1.0, learning_rate=0.25)]
    ).splitlines()
    assert lines[0].split()[:3] == ["run", "loss", "val_loss"]
    assert " ".join(lines[1].split()) == (
        "sgd 0.25 seed 0 1.2500 1.0000 0.5000 0.2500 0.7500 24 3.2 100.5"
    )
    assert lines[2].startswith("adam seed 0") and "1.5000" in lines[2]


def test_compare_prints_and_draws(tmp_path, capsys):
    paths = [
        write(tmp_path / f"{i}.json", result(name))
        for i, name in enumerate(("adam", "fuzzyhess"))
    ]
    comparison.compare(paths, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "fuzzyhess" in printed and "Not comparable" not in printed
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000


def test_runs_that_differ_in_more_than_the_optimizer_are_told():
    sentences = comparison.differences(
        [result(), result("sgd", batch_size=16, seed=1, learning_rate=2.0)]
    )
    assert sentences == ["Not comparable: --batch-size differs (8, 16)."]


def missing_column(content):
    del content["epochs"][-1]["val_top_5"]


def no_epochs(content):
    content["epochs"] = []


@pytest.mark.parametrize("spoil", [missing_column, no_epochs])
def test_what_is_no_result_is_refused(tmp_path, spoil):
    content = copy.deepcopy(result())
    spoil(content)
    path = write(tmp_path / "spoilt.json", content)
    with pytest.raises(UserError, match="spoilt.json"):
        comparison.compare([path], tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "no json"])
def test_what_is_no_json_of_ours_is_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"other\.json"):
        comparison.compare([path], tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.json"):
        comparison.compare([tmp_path / "nowhere.json"], tmp_path)
