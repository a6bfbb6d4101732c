"""The search that `examples/tune_distributed.py` starts, from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keras_fuzzyhess.fuzzy import RuleBase, default_rule_base

SCRIPT = Path(__file__).parents[2] / "examples" / "tune_distributed.py"


@pytest.mark.slow
def test_two_workers_find_rules(tmp_path):
    arguments = ["--trials", "2", "--epochs", "1", "--output", tmp_path]
    result = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    trials = [
        json.loads(path.read_text()) for path in tmp_path.glob("trial_*/trial.json")
    ]
    assert len(trials) == 2
    losses = sorted(trial["score"] for trial in trials)  # those of validation
    assert losses[0] < 0.5 and losses[-1] < float("inf"), losses
    tuned = RuleBase.load(tmp_path / "tuned.json")
    assert [v.name for v in tuned.inputs] == [
        v.name for v in default_rule_base().inputs
    ]
