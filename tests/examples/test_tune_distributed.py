"""A chief and two workers search, while one is killed and while trials fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.processes import left_behind, listening_addresses, started

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "tune_distributed.py"
SEARCH = ROOT / "tests" / "helpers" / "tiny_search.py"
TRIALS = 9


def tune(output):
    """A finished run; no process may be left."""
    arguments = ["--search", SEARCH, "--trials", str(TRIALS), "--epochs", "2"]
    result = subprocess.run(
        [sys.executable, SCRIPT, *arguments, "--output", output],
        capture_output=True,
        text=True,
        timeout=180,
        # Nobody listens there: it must not be asked for the way to this machine.
        env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
    )
    assert left_behind([pid for _, pid in started(result.stdout)], seconds=0) == []
    return result


def trials(output):
    paths = sorted(output.glob("trial_*/trial.json"))
    return {path: json.loads(path.read_text()) for path in paths}


def statuses(output):
    return [trial["status"] for trial in trials(output).values()]


@pytest.mark.slow
def test_finishes_although_a_worker_is_killed_in_the_middle_of_a_trial(tmp_path):
    (tmp_path / "kill").touch()
    result = tune(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "kill.done").exists()
    assert "was killed by SIGKILL" in result.stdout
    assert len(started(result.stdout)) == 4, "chief, two workers, one of them again"
    assert statuses(tmp_path) == ["COMPLETED"] * TRIALS
    for trial in trials(tmp_path).values():
        line = f"trial {trial['trial_id']} completed, objective {trial['score']:.5g}"
        assert result.stdout.count(line) == 1


@pytest.mark.slow
def test_three_failures_end_it_with_all_trials_kept_and_it_can_go_on(tmp_path):
    (tmp_path / "fail").touch()
    result = tune(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "3 trials in a row failed" in result.stderr
    before = trials(tmp_path)
    ended = [trial["status"] for trial in before.values()]
    assert ended[:2] == ["COMPLETED"] * 2
    assert len(ended[2:]) >= 3 and set(ended[2:]) == {"FAILED"}
    assert len(ended) < TRIALS, "there were trials left to go on with"

    (tmp_path / "fail").unlink()
    result = tune(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"going on after {len(ended)} trials" in result.stdout
    after = trials(tmp_path)
    assert {path: after[path] for path in before} == before
    assert statuses(tmp_path)[len(ended) :] == ["COMPLETED"] * (TRIALS - len(ended))


@pytest.mark.slow
def test_the_chief_listens_on_the_loopback_address_only(tmp_path):
    """Whatever the environment says, for whoever reaches the port rules the search."""
    arguments = ["--search", SEARCH, "--workers", "1", "--output", tmp_path / "digits"]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "KERASTUNER_ORACLE_IP": "0.0.0.0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        pids = dict(started("".join(lines)))
        deadline = time.monotonic() + 60
        while not (addresses := listening_addresses(pids["chief"])):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert addresses == {"127.0.0.1"}


def test_no_process_outlives_it_when_it_is_terminated(tmp_path):
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time; time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--search", sleeper, "--output", tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    pids = [pid for _, pid in started("".join(lines))]
    assert len(pids) == 3
    assert left_behind(pids, seconds=0) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--workers", "0"], "--workers must be at least 1, received 0"),
        (["--seed", "-1"], "--seed must be at least 0, received -1"),
        (["--search", "missing.py"], "--search must be a file, received missing.py"),
    ],
)
def test_refuses_what_cannot_be_searched(arguments, message):
    result = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert message in result.stderr
