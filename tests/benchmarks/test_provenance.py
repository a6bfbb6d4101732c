"""What the records say of the code that was run."""

import json

import pytest

from benchmarks import provenance
from benchmarks.results import environment
from keras_fuzzyhess import FuzzyHess


@pytest.fixture
def git(monkeypatch):
    """Answers of git by its command."""
    answers: dict[str, str] = {}
    monkeypatch.setattr(provenance, "_git", lambda *words: answers.get(words[0], ""))
    provenance.commit.cache_clear()
    yield answers
    provenance.commit.cache_clear()


@pytest.mark.parametrize(
    "answers, expected",
    [
        ({"rev-parse": "abc"}, "abc"),
        ({"rev-parse": "abc", "status": " M fuzzyhess.py"}, "abc-dirty"),
        ({}, "unknown"),
    ],
)
def test_a_commit_says_whether_the_package_has_changed(answers, expected, git):
    git |= answers
    assert environment()["commit"] == expected


def test_no_git_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance._git("rev-parse", "HEAD") == ""


def test_words_change_nothing_and_code_does():
    source = 'def f():\n    """Doubles."""\n    return 2  # twice\n'
    same = 'def f():\n    """Something else."""\n\n    return 2\n'
    without = provenance.without_words(source)
    assert provenance.without_words(same) == without
    assert provenance.without_words(source.replace("2", "3")) != without


def test_constants_are_those_of_the_configuration():
    found = provenance.fingerprint()
    config = FuzzyHess().get_config()
    assert found["constants"] == provenance._hash(json.dumps(config, sort_keys=True))
    config["probe_interval"] += 1
    assert found["constants"] != provenance._hash(json.dumps(config, sort_keys=True))
