"""Real searches in one process, of a function instead of a network."""

import json

import keras_tuner
import pytest

from keras_fuzzyhess.tuner import clean_search


class Search(keras_tuner.RandomSearch):
    """Fails in the trials it is told; counts the others."""

    def __init__(self, folder, failing, trials=6, **kwargs):
        space = keras_tuner.HyperParameters()
        space.Float("x", -1.0, 1.0)
        super().__init__(
            hyperparameters=space,
            max_trials=trials,
            seed=1,
            directory=folder,
            project_name="search",
            **kwargs,
        )
        self.failing = failing
        self.run = []

    def run_trial(self, trial):
        self.run.append(int(trial.trial_id))
        if self.run[-1] in self.failing:
            raise ArithmeticError("made to fail")
        return trial.hyperparameters.get("x") ** 2


class ChiefLike(Search):
    """Saves when the search begins and not after each trial, as a chief does."""

    def on_search_begin(self):
        self.save()

    def on_trial_end(self, trial):
        self.oracle.end_trial(trial)


def saved(folder):
    paths = sorted((folder / "search").glob("trial_*/trial.json"))
    return [json.loads(path.read_text()) for path in paths]


def statuses(folder):
    return [trial["status"] for trial in saved(folder)]


def test_returns_the_tuner_of_a_finished_search(tmp_path):
    tuner = Search(tmp_path, failing={1, 2, 4, 5})
    assert clean_search(tuner) is tuner
    assert tuner.run == [0, 1, 2, 3, 4, 5]


def test_three_failures_in_a_row_end_the_search_and_all_trials_are_kept(tmp_path):
    tuner = Search(tmp_path, failing={0, 2, 3, 4})
    with pytest.raises(RuntimeError, match=r"3 trials .* the last, 4, .*made to fail"):
        clean_search(tuner)
    assert tuner.run == [0, 1, 2, 3, 4]
    assert statuses(tmp_path) == ["FAILED", "COMPLETED", "FAILED", "FAILED", "FAILED"]
    assert saved(tmp_path)[1]["score"] is not None
    assert "made to fail" in saved(tmp_path)[4]["message"]


def test_tuner_allows_as_many_failures_as_it_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="2 trials in a row"):
        clean_search(Search(tmp_path, {1, 2}, max_consecutive_failed_trials=2))
    assert statuses(tmp_path) == ["COMPLETED", "FAILED", "FAILED"]


def test_goes_on_when_the_cause_is_mended(tmp_path):
    with pytest.raises(RuntimeError):
        clean_search(Search(tmp_path, failing={1, 2, 3}))
    tuner = Search(tmp_path, failing={})
    clean_search(tuner)
    assert tuner.run == [4, 5]
    assert statuses(tmp_path) == ["COMPLETED", *["FAILED"] * 3, *["COMPLETED"] * 2]


def test_ends_again_when_it_is_not_mended(tmp_path):
    for _ in range(2):
        tuner = Search(tmp_path, failing=range(1, 20), trials=20)
        with pytest.raises(RuntimeError):
            clean_search(tuner)
    assert tuner.run == [4, 5, 6]


def test_does_not_run_again_what_a_chief_saved_as_running(tmp_path):
    clean_search(ChiefLike(tmp_path, failing={}, trials=2))
    oracle = json.loads((tmp_path / "search" / "oracle.json").read_text())
    assert oracle["ongoing_trials"] == {"tuner0": "1"}, "no longer a defect: see why"
    before = saved(tmp_path)
    tuner = Search(tmp_path, failing={}, trials=3)
    clean_search(tuner)
    assert tuner.run == [2]
    assert saved(tmp_path)[:2] == before


def test_runs_again_what_was_interrupted(tmp_path):
    class Interrupted(Search):
        def run_trial(self, trial):
            if trial.trial_id == "1":
                raise KeyboardInterrupt
            return super().run_trial(trial)

    with pytest.raises(KeyboardInterrupt):
        clean_search(Interrupted(tmp_path, failing={}))
    tuner = Search(tmp_path, failing={})
    clean_search(tuner)
    assert tuner.run == [1, 2, 3, 4, 5]
