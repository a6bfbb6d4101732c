"""KerasTuner is as it was for whoever else uses it in the process."""

import subprocess
import sys

PROGRAM = """
import random, sys, tempfile
from pathlib import Path
import keras_tuner

def contents(owner):
    return {
        name: (value, getattr(value, "__code__", None))
        for name, value in vars(owner).items()
    }

def namespaces():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "keras_tuner":
            found[name] = contents(module)
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__.startswith("keras_t"):
                    found[f"{name}.{value.__qualname__}"] = contents(value)
    return found

def check():
    for owner, names in namespaces().items():
        known = before.get(owner, names)
        for name in known.keys() | names.keys():
            if isinstance(names[name][0], type(sys)) and name not in known:
                continue  # a module of KerasTuner that was not imported yet
            for now, then in zip(names[name], known[name], strict=True):
                assert now is then, (owner, name)

TUNERS = {
    "RandomSearch": {"max_trials": 3},
    "BayesianOptimization": {"max_trials": 3, "num_initial_points": 3},
    "Hyperband": {"max_epochs": 3},
    "GridSearch": {"max_trials": 3},
}

def search(module, name, run=keras_tuner.Tuner.search):
    '''What came of a search, and what it has left in its folder.'''
    class Search(getattr(module, name)):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("rule_base/x")

    random.seed(3)  # with which KerasTuner replaces a seed of 0
    space = keras_tuner.HyperParameters()
    space.Float("rule_base/x", 0.0, 1.0, default=0.5)
    folder = tempfile.mkdtemp()
    made = Search(hyperparameters=space, seed=0, directory=folder, **TUNERS[name])
    run(made, verbose=0)
    trials = [
        (trial.trial_id, trial.status, trial.score, trial.hyperparameters.values)
        for trial in made.oracle.trials.values()
    ]
    paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    files = [(str(p.relative_to(folder)), p.read_text()) for p in paths]
    return made.oracle.seed, trials, files

expected = {name: search(keras_tuner, name) for name in TUNERS}
assert expected["RandomSearch"][0] != 0, "no longer a defect"
before = namespaces()
assert len(before) > 100

from keras_fuzzyhess import tuner

check()
assert {name: search(keras_tuner, name) for name in TUNERS} == expected
for name in TUNERS:
    seed, trials, _ = search(tuner, name, tuner.clean_search)
    assert seed == 0 and trials[0][2] == 0.5, name
check()
print("untouched")
"""


def test_importing_and_using_the_tuner_changes_nothing_of_keras_tuner():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1:] == ["untouched"], result.stderr
