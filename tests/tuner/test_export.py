"""What a search leaves behind."""

import csv

import keras_tuner
import matplotlib
import pytest

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.tuner import (
    FuzzyHessHyperModel,
    best_rule_base,
    export,
    rule_base,
)
from keras_fuzzyhess.tuner.hyper_model import describe
from tests.tuner.searches import LOSS, descent, network, scores, search, tuner

matplotlib.use("Agg")


def complete_a_trial(tuner, score):
    trial = tuner.oracle.create_trial("tuner0")
    tuner.oracle.update_trial(trial.trial_id, {"val_loss": score})
    trial.status = "COMPLETED"
    tuner.oracle.end_trial(trial)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return search(tuner("TPE", tmp_path_factory.mktemp("search"), max_trials=3))


@pytest.mark.slow
def test_files(finished, tmp_path):
    line = export(finished, tmp_path / "new" / "directory")
    files = {path.name: path for path in (tmp_path / "new" / "directory").iterdir()}
    assert set(files) == {
        "rule_base.json",
        "trials.csv",
        "scores.png",
        "dimensions.png",
        "surface_before.png",
        "surface_after.png",
        "summary.md",
    }
    best = min(scores(finished).values())
    assert f"best val_loss {best:.4g}" in line and "TPE, seed 0, 3 completed" in line
    assert files["summary.md"].read_text() == line + "\n"
    assert f", {scores(finished)['0']:.4g} with the rule base it began with." in line
    assert FuzzyHess(rule_base=files["rule_base.json"]).rule_base == best_rule_base(
        finished
    )
    with files["trials.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert {row["trial"]: float(row["score"]) for row in rows} == scores(finished)
    assert [name for name in rows[0] if "/" in name] == [
        "rule_base/beta_3/memory",
        "rule_base/gain_rate/cut",
        "rule_base/gain_rate/raise",
    ]
    for name, path in files.items():
        if name.endswith(".png"):
            pixels = matplotlib.image.imread(path)[:, :, :3]
            assert pixels.std() > 0.05, f"{name} is empty"


def test_best_is_the_one_with_the_best_score(finished):
    score = scores(finished)
    number = min(score, key=score.get)
    trial = finished.oracle.trials[number]
    assert best_rule_base(finished) == rule_base(
        trial.hyperparameters.copy(), search="outputs"
    )


def test_best_of_a_plain_build_function(tmp_path):
    def build(hp):
        model = network()
        model.compile(FuzzyHess(rule_base=rule_base(hp)), "mse")
        return model

    searching = tuner("RandomSearch", tmp_path, build, max_trials=2)
    with pytest.raises(ValueError, match="must have completed a trial.*search"):
        best_rule_base(searching)
    complete_a_trial(searching, 1.0)
    assert best_rule_base(searching) == default_rule_base()


def test_a_finished_search_is_not_read_as_another(finished, tmp_path):
    other = FuzzyHessHyperModel(network, search="weights", loss="mse")
    reread = tuner("TPE", finished.directory, other)
    assert len(reread.oracle.trials) == 3
    for read in (best_rule_base, lambda tuner: export(tuner, tmp_path)):
        with pytest.raises(ValueError, match="`search` was .*, now .*weights"):
            read(reread)


def test_a_tuner_of_keras_tuner_need_not_have_tried_the_base(tmp_path):
    made = FuzzyHessHyperModel(
        network, loss=LOSS, search="weights", optimizer_fn=descent
    )
    searching = keras_tuner.RandomSearch(
        made, objective="val_loss", max_trials=2, seed=1, directory=tmp_path
    )
    search(searching)
    assert len(scores(searching)) == 2
    assert best_rule_base(searching) != default_rule_base()
    line = export(searching, tmp_path / "result")
    assert "), no trial was completed with the rule base it began with." in line


def test_what_else_was_chosen_is_said(tmp_path):
    def build(hp):
        hp.Int("width", 4, 16, default=8)
        return network()

    hypermodel = FuzzyHessHyperModel(build, loss="mse", search="weights")
    searching = tuner("RandomSearch", tmp_path, hypermodel)
    complete_a_trial(searching, 1.0)
    assert "not by the rules alone, for the search also chose width=8" in export(
        searching, tmp_path / "result"
    )


def test_why_no_trial_was_completed_is_said(tmp_path):
    searching = tuner("RandomSearch", tmp_path)
    trial = searching.oracle.create_trial("tuner0")
    trial.status, trial.message = "FAILED", "Traceback\nValueError: No loss"
    searching.oracle.end_trial(trial)
    with pytest.raises(ValueError, match=r"1 trials.*one failed with: ValueError: No"):
        best_rule_base(searching)


def test_a_search_over_something_else(tmp_path):
    def build(hp):
        hp.Float("x", 0.0, 1.0)
        return network()

    searching = tuner("RandomSearch", tmp_path, build)
    complete_a_trial(searching, 1.0)
    with pytest.raises(ValueError, match="those of a search.*Received: x"):
        best_rule_base(searching)


def test_description_tells_what_was_moved():
    hp = keras_tuner.HyperParameters()
    hp.values["rule_base/progress/point_1"] = 0.0
    assert "early (0, " in describe(rule_base(hp))
    assert "early (0, " not in describe(default_rule_base())
