"""KerasTuner's own tuners and ours: to the end, the same again, killed and resumed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import keras_tuner
import pytest

from keras_fuzzyhess.tuner import FuzzyHessHyperModel, best_rule_base
from tests.tuner.searches import LOSS, TUNERS, descent, scores, search, tuner

ROOT = Path(__file__).parents[2]
every_tuner = pytest.mark.parametrize("name", TUNERS)


def completed(directory):
    """Scores of the trials that are on disk as completed."""
    found = {}
    for path in sorted(directory.glob("trial_*/trial.json")):
        try:
            trial = json.loads(path.read_text())
        except json.JSONDecodeError:  # being written
            continue
        if trial["status"] == "COMPLETED":
            found[trial["trial_id"]] = trial["score"]
    return found


def kill_after_trials(name, directory, trials):
    """Starts the search as a process of its own and kills it in the middle."""
    deadline = time.monotonic() + 120
    with subprocess.Popen(
        [sys.executable, "-m", "tests.tuner.searches", name, str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while len(completed(directory / name)) < trials:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(process.communicate()[0])
            time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "ended before it could be killed"
    return completed(directory / name)


@pytest.mark.slow
@every_tuner
def test_search_ends_resumes_and_repeats(name, tmp_path):
    whole = search(tuner(name, tmp_path / "whole"))
    assert len(scores(whole)) == len(whole.oracle.trials) >= 5
    kept = kill_after_trials(name, tmp_path / "killed", 2)
    assert 2 <= len(kept) < len(scores(whole))
    resumed = search(tuner(name, tmp_path / "killed"))
    after = scores(resumed)
    assert kept.items() <= after.items()  # no finished trial is lost or trained again
    assert list(after) == list(scores(whole))
    if name == "BayesianOptimization":
        # Its random state is not saved, so that suggestions after a kill differ.
        resumed = search(tuner(name, tmp_path / "again"))
    # The killed process had one device, this one has two: with one, branches of a step
    # are called as functions, in which rounding differs.
    assert scores(resumed) == pytest.approx(scores(whole), rel=1e-6)
    assert best_rule_base(resumed) == best_rule_base(whole)


@every_tuner
def test_seed_zero_is_a_seed(name, tmp_path):
    made = tuner(name, tmp_path, seed=0)
    assert made.oracle.seed == 0 and made.oracle._seed_state == 0
    assert tuner(name, tmp_path / "other", seed=None).oracle.seed > 0


@every_tuner
def test_first_trial_takes_the_defaults(name, tmp_path):
    oracle = tuner(name, tmp_path).oracle
    trial = oracle.create_trial("tuner0")
    factors = {
        key: value
        for key, value in trial.hyperparameters.values.items()
        if key.startswith(("rule_base/gain_rate", "rule_base/beta_3"))
    }
    assert len(factors) == 3 and set(factors.values()) == {1.0}


def test_searches_over_something_else_begin_as_ever(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0, default=0.5)
    oracle = keras_tuner.oracles.RandomSearchOracle("loss", hyperparameters=hp, seed=1)
    assert oracle._random_values() != {"x": 0.5}


@pytest.mark.slow
def test_bayesian_search_keeps_away_from_where_runs_diverge(tmp_path):
    """40 % of the space overflows; at most 15 % of the later points may lie there."""

    def build(hp):
        u = hp.Float("u", 0.0, 1.0, default=0.5)
        return keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(1),
                keras.layers.Rescaling(1e30 if u > 0.6 else 1.0),
                keras.layers.Dense(10, "softmax"),
            ]
        )

    hypermodel = FuzzyHessHyperModel(
        build, search="outputs", loss=LOSS, optimizer_fn=descent
    )
    searching = tuner(
        "BayesianOptimization",
        tmp_path,
        hypermodel,
        max_trials=20,
        num_initial_points=8,
        max_consecutive_failed_trials=1,
    )
    search(searching, epochs=1, batch_size=256)
    assert len(scores(searching)) == 20
    values = [
        trial.hyperparameters.values["u"]
        for _, trial in sorted(searching.oracle.trials.items())
    ]
    diverged = [u > 0.6 for u in values]
    assert any(diverged[:8])
    assert sum(diverged[8:]) <= 0.15 * 12
