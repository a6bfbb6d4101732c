"""Killed while it writes whichever file, a search goes on as if it had not been.

KerasTuner keeps a trial, the oracle and the tuner in files of their own, which a kill
may leave half written or at odds with each other.
"""

import keras_tuner
import pytest
import tensorflow as tf

from keras_fuzzyhess.tuner import clean_search, rule_base
from tests.helpers.fast import each_value_fast
from tests.tuner.searches import TUNERS

WRITE = tf.io.gfile.GFile.write
# A Gaussian process takes seconds, and its suggestions differ after a kill.
CHEAP = [name for name in TUNERS if name != "BayesianOptimization"]


class Killed(BaseException):
    """Not an `Exception`, which KerasTuner would take for a failed trial."""


def search(name, folder, run):
    """Numbers and scores of all trials, of a function instead of a network."""
    tuner, arguments = TUNERS[name]

    class Search(tuner):
        def run_trial(self, trial, *args, **kwargs):
            values = trial.hyperparameters.values
            return sum(values[f"rule_base/weight/{x}"] for x in ("flat", "rising"))

    space = keras_tuner.HyperParameters()
    rule_base(space, search="weights")
    searching = Search(
        hyperparameters=space,
        seed=0,
        directory=folder,
        project_name=name,
        **arguments,
    )
    run(searching, verbose=0)
    trials = sorted(searching.oracle.trials.items())
    return [(number, trial.status, trial.score) for number, trial in trials]


@each_value_fast(name=CHEAP, run=[keras_tuner.Tuner.search, clean_search])
def test_killed_at_any_write(name, run, tmp_path, monkeypatch):
    written = 0
    killed_at = None

    def write(file, text):
        nonlocal written
        written += 1
        if written == killed_at:
            WRITE(file, text[: len(text) // 2])
            file.flush()
            raise Killed
        WRITE(file, text)

    monkeypatch.setattr(tf.io.gfile.GFile, "write", write)
    whole = search(name, tmp_path / "whole", run)
    assert len(whole) >= 5
    for killed_at in range(1, written + 1):
        written = 0
        folder = tmp_path / str(killed_at)
        with pytest.raises(Killed):
            search(name, folder, run)
        assert search(name, folder, run) == whole, f"killed at write {killed_at}"
