"""The command that draws the README's pictures, from end to end, for one epoch."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "rule_base_pictures.py"
PICTURES = ["memberships", "surface", "decisions", "rule_activity"]


@pytest.mark.slow
def test_trains_and_draws(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--epochs", "1", "--output", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "gain: " in result.stdout, "the progress bar shows the diagnostics"
    for name in PICTURES:
        picture = tmp_path / f"{name}.png"
        assert str(picture) in result.stdout
        assert 10_000 < picture.stat().st_size < 100_000
