"""The oracle of Optuna's estimator, without training."""

import sys

import keras_tuner
import pytest

from keras_fuzzyhess.tuner import TPE, TPEOracle


def run(oracle, directory, trials, score):
    """Runs trials as a tuner does."""
    oracle._set_project_dir(directory, "search")
    oracle.verbose = 0
    for _ in range(trials):
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        value = score(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"loss": value})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        oracle.save()
    return [oracle.trials[number].score for number in sorted(oracle.trials)]


def space(dimensions=4):
    hp = keras_tuner.HyperParameters()
    for i in range(dimensions):
        hp.Float(f"x{i}", 0.01, 1.0, sampling="log", default=1.0)
    return hp


def distance(values):
    return sum((value - 0.1) ** 2 for value in values.values())


def oracle(hp=None, **kwargs):
    kwargs = {"max_trials": 60, "seed": 3} | kwargs
    return TPEOracle("loss", hyperparameters=space() if hp is None else hp, **kwargs)


def test_better_than_random_search(tmp_path):
    found = run(oracle(), tmp_path / "tpe", 60, distance)
    random = keras_tuner.oracles.RandomSearchOracle(
        "loss", 60, hyperparameters=space(), seed=3
    )
    at_random = run(random, tmp_path / "random", 60, distance)
    assert min(found) < min(at_random) / 2


def test_suggestions_follow_from_seed_and_trials(tmp_path):
    whole = run(oracle(), tmp_path / "whole", 20, distance)
    run(oracle(), tmp_path / "parts", 13, distance)
    resumed = oracle()
    resumed._set_project_dir(tmp_path / "parts", "search")
    resumed.reload()
    assert run(resumed, tmp_path / "parts", 7, distance) == whole
    assert run(oracle(seed=4), tmp_path / "other", 20, distance) != whole


def test_suggestions_are_the_same_when_more_trials_are_asked_for_later(tmp_path):
    """Names of trials are then of two widths, and no longer in order as text."""
    known = {"num_initial_points": 2}
    whole = run(oracle(max_trials=14, **known), tmp_path / "whole", 14, distance)
    run(oracle(max_trials=9, **known), tmp_path / "parts", 9, distance)
    resumed = oracle(max_trials=14, **known)
    resumed._set_project_dir(tmp_path / "parts", "search")
    resumed.reload()
    run(resumed, tmp_path / "parts", 5, distance)
    assert list(resumed.trials)[-1] == "13" and "8" in resumed.trials
    scores = [resumed.trials[name].score for name in sorted(resumed.trials, key=int)]
    assert scores == whole


def test_maximizes(tmp_path):
    objective = keras_tuner.Objective("loss", "max")
    made = TPEOracle(objective, 40, hyperparameters=space(), seed=0)
    found = run(made, tmp_path, 40, lambda values: -distance(values))
    assert max(found[20:]) > max(found[:10])


def test_every_kind_of_hyperparameter_and_conditions(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    hp.Boolean("flag")
    hp.Int("units", 1, 5)
    hp.Fixed("constant", 7)
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("rate", 0.0, 1.0, step=0.25)
    made = oracle(hp, num_initial_points=3)
    run(made, tmp_path, 25, lambda values: values["units"] - values.get("rate", 0.0))
    for trial in made.trials.values():
        values = trial.hyperparameters.values
        assert ("rate" in values) == (values["kind"] == "b")
        assert values["constant"] == 7 and values["units"] in range(1, 6)
        assert values.get("rate", 0.0) in (0.0, 0.25, 0.5, 0.75, 1.0)


def test_ends_where_the_space_is_exhausted(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Boolean("flag")
    found = run(oracle(hp, num_initial_points=1), tmp_path, 10, lambda values: 1.0)
    assert len(found) == 2


def test_workers_at_the_same_time_get_different_points(tmp_path):
    made = oracle(num_initial_points=2)
    run(made, tmp_path, 5, distance)
    points = [made.create_trial(f"w{i}").hyperparameters.values for i in range(4)]
    assert len({tuple(point.values()) for point in points}) == 4


def test_failed_trials_are_left_out(tmp_path):
    made = oracle(num_initial_points=2)
    run(made, tmp_path, 5, distance)
    trial = made.create_trial("tuner0")
    trial.status = "FAILED"
    made.end_trial(trial)
    assert made.create_trial("tuner0").status == "RUNNING"


@pytest.mark.parametrize("name", ["max_trials", "num_initial_points"])
def test_a_search_without_end_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1"):
        oracle(**{name: 0})


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "keras-fuzzyhess\[optuna\]"'):
        TPE(lambda hp: None, objective="loss")
