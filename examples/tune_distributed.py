"""A search by one chief and several workers of KerasTuner, on this machine.

Starts a search script, `digit_search.py` unless told otherwise, once as the chief and
once for each worker, shows each trial as it ends, starts a dead worker again and leaves
no process behind. The same command again goes on with a search that was stopped.

    python examples/tune_distributed.py [--workers 2] [--trials 10] [--epochs 3]
        [--seed 0] [--output results/digits] [--search SCRIPT]

A search script takes `--trials`, `--epochs`, `--seed` and `--output`, and makes the
last of them the tuner's project directory.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from loopback_cluster import say, supervise

SEARCH = Path(__file__).parent / "digit_search.py"


def read_trials(project):
    """Trials of a project as dictionaries, by their name, that have ended."""
    trials = {}
    for path in sorted(project.glob("trial_*/trial.json")):
        try:
            trial = json.loads(path.read_text())
        except json.JSONDecodeError:
            continue  # the chief is writing it: read next time
        if trial["status"] in ("COMPLETED", "FAILED"):
            trials[trial["trial_id"]] = trial
    return trials


def describe(trial):
    if trial["status"] == "FAILED":
        return f"trial {trial['trial_id']} failed, see the logs of the workers"
    return f"trial {trial['trial_id']} completed, objective {trial['score']:.5g}"


class Progress:
    """Says of each trial once that it has ended."""

    def __init__(self, project):
        self.project = project
        self.seen = set(read_trials(project))

    def report(self):
        trials = read_trials(self.project)
        for name in sorted(set(trials) - self.seen):
            say(describe(trials[name]))
        self.seen.update(trials)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="number of workers")
    parser.add_argument("--trials", type=int, default=10, help="in all")
    parser.add_argument("--epochs", type=int, default=3, help="of each trial")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--output", type=Path, default=Path("results/digits"))
    parser.add_argument("--search", type=Path, default=SEARCH, help="search script")
    arguments = parser.parse_args()
    for name, least in (("workers", 1), ("trials", 1), ("epochs", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value < least:
            parser.error(f"--{name} must be at least {least}, received {value}")
    if not arguments.search.is_file():
        parser.error(f"--search must be a file, received {arguments.search}")
    return arguments


def search_command(arguments):
    command = [sys.executable, str(arguments.search)]
    for name in ("trials", "epochs", "seed", "output"):
        command += [f"--{name}", str(getattr(arguments, name))]
    return command


def main():
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    progress = Progress(arguments.output)
    if progress.seen:
        say(f"going on after {len(progress.seen)} trials in {arguments.output}")
    again = "what is saved is kept, and the same command goes on"
    try:
        failure = supervise(
            search_command(arguments),
            arguments.workers,
            logs=arguments.output / "logs",
            report=progress.report,
        )
    except KeyboardInterrupt:
        say(f"stopped; {again}")
        sys.exit(130)
    progress.report()
    completed = [
        trial
        for trial in read_trials(arguments.output).values()
        if trial["status"] == "COMPLETED"
    ]
    say(f"{len(completed)} trials completed, see {arguments.output}")
    if failure is not None:
        sys.exit(f"the search did not finish: {failure}\n{again}")


if __name__ == "__main__":
    main()
