"""Kills a training with SIGKILL at random steps and compares what goes on, to the bit.

    python -m tests.helpers.kill_and_resume [--kills 20] [--seed 0]

A training (`interrupted_training.py`) is killed after a random step, at most 20 ms
later, which is often in the middle of a save; it is started again, killed again, until
it has ended; then another begins, until there were so many kills for each way to save:
`keras.callbacks.BackupAndRestore` and `model.save`. What each process reads back, every
step that it takes and the end must be those of a training that nobody killed. A line
for each kill; ends with status 1 if anything differs.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
STEPS = 240
WAYS = ("backup", "model")
LONGEST_GAP = 80
"""Steps between two kills of a training, at most."""
LONGEST_DELAY = 0.02
"""Seconds between the end of a step and the kill, at most."""

States = dict[tuple[str, int], str]
"""Digest of all variables by what a process told of, and by the step."""


class Kill(NamedTuple):
    """A kill, and what became of the training when it was started again.

    Attributes:
        step: The last one that the killed process told of.
        resumed: The step that the next process went on from.
        compared: How many states the next process told of.
        differing: Those that are not as in the training that nobody killed.
    """

    step: int
    resumed: int
    compared: int
    differing: list[tuple[str, int]]


def train(way: str, folder: Path, kill_at: int, delay: float = 0.0) -> States:
    """Runs a training, or goes on with it, until it ends or is killed after a step."""
    module = (sys.executable, "-m", "tests.helpers.interrupted_training")
    log = folder / "errors.txt"
    states = {}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*module, way, str(folder), str(STEPS)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            what, step, digest = json.loads(line)
            states[what, step] = digest
            if (what, step) == ("step", kill_at):
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{way}: {log.read_text()[-2000:]}")
    return states


def kills(
    way: str, count: int, draw: random.Random, reference: States
) -> Iterator[Kill]:
    """Kills trainings so many times, and compares what goes on."""
    made = 0
    while made < count:
        with tempfile.TemporaryDirectory() as folder:
            kill_at = 0
            killed_at = None
            states: States = {}
            while ("ends", STEPS) not in states:
                kill_at += draw.randint(1, LONGEST_GAP) if made < count else STEPS
                delay = draw.uniform(0, LONGEST_DELAY)
                states = train(way, Path(folder), kill_at, delay)
                if killed_at is not None:
                    yield compare(killed_at, states, reference)
                killed_at = max(step for _, step in states)
                made += ("ends", STEPS) not in states


def compare(killed_at: int, states: States, reference: States) -> Kill:
    """Holds the states of a process against those of the training nobody killed."""
    (resumed,) = (step for what, step in states if what == "begins")
    # What is read back is what that step had made.
    expected = reference | {("begins", resumed): reference.get(("step", resumed))}
    if resumed == 0:
        expected = reference
    differing = [state for state in states if states[state] != expected.get(state)]
    return Kill(killed_at, resumed, len(states), differing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="for each way to save")
    parser.add_argument("--seed", type=int, default=0, help="of the steps of the kills")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        reference = train(WAYS[0], Path(folder), kill_at=STEPS + 1)
    print(f"without a kill: {STEPS} steps, {len(reference)} states", flush=True)
    failures = compared = 0
    for way in WAYS:
        for i, kill in enumerate(kills(way, arguments.kills, draw, reference), 1):
            print(
                f"{way} {i}: killed after step {kill.step}, went on from step "
                f"{kill.resumed}, {kill.compared} states compared, "
                f"{len(kill.differing)} differ {kill.differing[:1] or ''}",
                flush=True,
            )
            failures += bool(kill.differing)
            compared += kill.compared
    total = arguments.kills * len(WAYS)
    print(
        f"{total} kills, {compared} states compared, {failures} kills made a difference"
    )
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
