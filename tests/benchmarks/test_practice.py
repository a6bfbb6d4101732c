"""The benchmark of how people train: one tiny training, and made-up records told."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.practice import report, runner
from benchmarks.practice.cases import CASES
from benchmarks.practice.contestants import AS_IT_IS, OURS, RECIPES, TUNED
from benchmarks.workload import Data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "practice.jsonl"


def test_a_run_is_recorded_and_not_made_again(path, monkeypatch):
    """A few digits for one epoch, with the weights that FuzzyHess averages."""
    data = CASES["digits"].load()
    few = Data(data.x[:40], data.y[:40], data.x_held_back[:40], data.y_held_back[:40])
    tiny = dataclasses.replace(CASES["digits"], load=lambda: few, epochs=1)
    monkeypatch.setitem(CASES, "digits", tiny)
    said: list[str] = []
    for _ in range(2):
        results = runner.open_results(path)
        runner.measure("digits", OURS, 1, results, said.append)
    assert len(said) == 1
    (record,) = results.runs.values()
    assert (record["epochs"], len(record["curve"])) == (1, 1)
    assert record["validated"] == record["curve"][0]
    assert 0 <= record["error"] <= 1 and record["versions"]


def test_only_tuned_learning_rates_are_tried_and_the_best_has_all_seeds(
    path, monkeypatch
):
    def train(case, recipe, learning_rate, seed):
        outcome = {"error": 0.5, "chance": 0.9, "epochs": 3, "seconds": 1.0}
        is_best = learning_rate == 0.003
        return outcome | {"validated": 1.0 if is_best else math.nan}

    monkeypatch.setattr(runner, "train", train)
    results = runner.open_results(path)
    for contestant in RECIPES:
        runner.measure("digits", contestant, 3, results, lambda line: None)
    counts = [len(list(results.of("digits", contestant))) for contestant in RECIPES]
    assert counts == [3, 3, len(RECIPES[TUNED].learning_rates) + 2]
    tuned = report.runs(results, "digits", TUNED)
    assert [(r["learning_rate"], r["seed"]) for r in tuned] == [
        (0.003, seed) for seed in range(3)
    ]


def made(case, contestant, errors, learning_rate=1.0, validated=1.0):
    return [
        {
            "case": case,
            "contestant": contestant,
            "learning_rate": learning_rate,
            "seed": seed,
            "error": error,
            "chance": 0.9,
            "validated": validated,
            "epochs": 10,
            "seconds": 2.0,
        }
        for seed, error in enumerate(errors)
    ]


def test_the_report_tells_made_up_records(path):
    results = runner.open_results(path)
    for record in [
        *made("digits", OURS, [0.1, 0.3]),
        *made("digits", AS_IT_IS, [0.1, 0.1]),
        *made("digits", TUNED, [0.4, 0.4], 0.003),
        *made("digits", TUNED, [0.01], 0.01, validated=2.0),
        *made("fashion", OURS, [0.2, math.nan]),
        *made("fashion", AS_IT_IS, [0.8, 0.85]),
    ]:
        results.add(record)
    read = runner.open_results(path)
    assert report.ratios(read, TUNED) == {"digits": 0.5}
    np.testing.assert_allclose(report.ratios(read, AS_IT_IS)["fashion"], 0.55 / 0.825)
    text = report.cases_table(read)
    assert "| digits | fuzzyhess | 0.2 (0.1 to 0.3) | 0 of 2 | 10.0 | 2.0 |" in text
    assert "adamw, tuned 3e-03" in text
    text = report.answers(read)
    assert "No: 1 of 2." in text and "digits (2.00)" in text
    assert "Yes: the ratio of errors is 0.50" in text
    assert "Runs of fuzzyhess at chance: 1 of 4" in text
    assert "Runs of adam at chance: 1 of 4" in text


def test_without_records_the_report_says_so(path):
    assert "No results." in report.answers(runner.open_results(path))
