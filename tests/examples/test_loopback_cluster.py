"""The supervisor of chief and workers, with real processes that do not train."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import is_running, left_behind, started

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc"
)

EXAMPLES = Path(__file__).parents[2] / "examples"

DRIVER = """
import signal, sys
from pathlib import Path
from loopback_cluster import supervise
# A shell has a job in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
command = [sys.executable, "-c", sys.argv[1]]
failure = supervise(command, 2, Path("logs"), lambda: None, restarts=2, patience=1.0)
print("failure:", failure)
"""

PART = "import os, sys, time; name = os.environ['KERASTUNER_TUNER_ID']\n"
CHIEF_WAITS = PART + "if name == 'chief': time.sleep(600)\n"


def supervisor(code, folder):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def supervise(code, folder):
    """Output of a supervisor, after which no process may be left."""
    with supervisor(code, folder) as process:
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()  # one that does not end; its children die with it
    assert left_behind([pid for _, pid in started(output)], seconds=0) == []
    return output


def starts(output, name):
    return [started_name for started_name, _ in started(output)].count(name)


def test_ends_when_the_chief_does_and_stops_workers_that_came_too_late(tmp_path):
    output = supervise(PART + "if name != 'chief': time.sleep(600)", tmp_path)
    assert "failure: None" in output
    assert [name for name, _ in started(output)] == ["chief", "worker-0", "worker-1"]


def test_says_what_the_chief_said_last(tmp_path):
    code = PART + "if name == 'chief': sys.exit('out of luck')\ntime.sleep(600)"
    output = supervise(code, tmp_path)
    assert "failure: the chief ended with status 1: out of luck" in output


def test_starts_a_killed_worker_again_under_its_name(tmp_path):
    code = PART + (
        "from pathlib import Path; first = Path('first')\n"
        "if name == 'chief':\n"
        "    while not Path('second').exists(): time.sleep(0.05)\n"
        "elif name == 'worker-1' and not first.exists():\n"
        "    first.touch(); os.kill(os.getpid(), 9)\n"
        "elif name == 'worker-1': Path('second').touch()\n"
        "else: time.sleep(600)"
    )
    output = supervise(code, tmp_path)
    assert "failure: None" in output
    assert "worker-1 was killed by SIGKILL" in output
    assert (starts(output, "worker-0"), starts(output, "worker-1")) == (1, 2)


def test_gives_up_workers_that_die_always_and_then_the_chief_that_waits(tmp_path):
    output = supervise(CHIEF_WAITS + "sys.exit(7)", tmp_path)
    for name in ("worker-0", "worker-1"):
        assert starts(output, name) == 3, "once, and two restarts"
        assert f"{name} is given up after 2 restarts" in output
    assert "ended with status 7" in output
    assert "failure: the chief did not end within 1 seconds" in output


def test_does_not_start_again_a_worker_that_is_done(tmp_path):
    output = supervise(CHIEF_WAITS, tmp_path)
    assert starts(output, "worker-0") == starts(output, "worker-1") == 1
    assert "failure: the chief did not end" in output


def test_tells_each_process_its_part_on_the_loopback_address(tmp_path):
    code = PART + (
        "print(name, os.environ['KERASTUNER_ORACLE_IP'],"
        " os.environ['KERASTUNER_ORACLE_PORT'], flush=True)\n"
        "time.sleep(1 if name == 'chief' else 600)"
    )
    supervise(code, tmp_path)
    logs = [path.read_text() for path in sorted((tmp_path / "logs").glob("*.log"))]
    parts, addresses, ports = zip(*(log.split() for log in logs), strict=True)
    assert parts == ("chief", "worker-0", "worker-1")
    assert set(addresses) == {"127.0.0.1"}
    assert len(set(ports)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_a_supervisor_that_is_killed(number, tmp_path):
    process = supervisor(PART + "time.sleep(600)", tmp_path)
    lines = [process.stdout.readline() for _ in range(3)]
    pids = [pid for _, pid in started("".join(lines))]
    assert len(pids) == 3 and all(map(is_running, pids))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert left_behind(pids) == []


def test_ends_what_a_worker_has_started(tmp_path):
    code = PART + (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print('child', child.pid, flush=True)\n"
        "if name == 'worker-1': sys.exit(1)\n"
        "time.sleep(3 if name == 'chief' else 600)"
    )
    supervise(code, tmp_path)
    logs = [path.read_text() for path in (tmp_path / "logs").glob("*.log")]
    children = [int(pid) for log in logs for pid in re.findall(r"child (\d+)", log)]
    assert len(children) == 5, "chief, worker-0, three times worker-1"
    assert left_behind(children) == []
