"""Looks at the test set are counted, and a change of FuzzyHess is told."""

import pytest

from benchmarks import looks
from benchmarks.results import Results

NOW = ("now", "code")


@pytest.fixture(autouse=True)
def _this_version(monkeypatch):
    version = dict(zip(("constants", "code"), NOW, strict=True))
    monkeypatch.setattr(looks, "fingerprint", lambda: version)


def add(results, seed, constants=None, code=None):
    record = {"workload": "words", "contestant": "adam", "schedule": "constant"}
    record |= {"learning_rate": 1.0, "seed": seed}
    if constants:
        record |= {"constants": constants, "code": code, "contestant": "fuzzyhess"}
    results.add(record)


def test_baselines_are_no_look(tmp_path):
    results = Results(tmp_path)
    add(results, 0)
    looks.note(results)
    assert looks.looks(results) == set() and looks.warning(results) is None
    assert not (tmp_path / looks.FILE).exists()


def test_a_version_is_one_look_whatever_it_runs(tmp_path):
    results = Results(tmp_path)
    add(results, 0, *NOW)
    add(results, 1, *NOW)
    looks.note(results)
    assert looks.looks(Results(tmp_path)) == {NOW}
    assert looks.warning(results) is None


def test_looks_are_remembered_when_runs_are_deleted(tmp_path):
    results = Results(tmp_path)
    add(results, 0, "before", "code")
    looks.note(results)
    (tmp_path / "runs.jsonl").unlink()
    results = Results(tmp_path)
    assert looks.warning(results) is None
    add(results, 0, *NOW)
    looks.note(results)
    assert looks.noted(tmp_path) == {("before", "code"), NOW}


@pytest.mark.parametrize(
    "version, changed",
    [(("before", "code"), "default constants"), (("now", "before"), "other code")],
)
def test_another_version_is_told_with_what_to_do(version, changed, tmp_path):
    results = Results(tmp_path)
    add(results, 0, *version)
    message = looks.warning(results)
    assert changed in message and "Delete" in message and "1 version" in message
