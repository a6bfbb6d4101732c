"""The quickstart from end to end, for one epoch."""

import subprocess
import sys
from pathlib import Path

import pytest

from keras_fuzzyhess import FuzzyHess
from tests.helpers.small_training import probes_in

SCRIPT = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.mark.slow
def test_trains_both_prints_a_table_and_draws(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--epochs", "1", "--output", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = result.stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("optimizer"))
    rows = [line.split() for line in lines[header + 1 : header + 3]]
    assert [row[0] for row in rows] == ["fuzzyhess", "adam"]
    steps = 63
    evaluations = str(steps + probes_in(steps, FuzzyHess()))
    assert rows[0][6] == rows[1][6] == evaluations, "equal gradient evaluations"
    for row in rows:
        assert float(row[5]) < 1.0, "training loss"
        assert float(row[4]) > 0.8, "validation accuracy"
    assert any(line.startswith(("Adam's best", "FuzzyHess did")) for line in lines)
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


@pytest.mark.slow
def test_refuses_no_epochs():
    result = subprocess.run(
        [sys.executable, SCRIPT, "--epochs", "0"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "at least 1" in result.stderr
