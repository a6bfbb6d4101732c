"""Finished runs as JSON lines, so that a benchmark goes on where it was stopped."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks.provenance import commit

RECORDED = Path(__file__).parent / "results" / "workloads"
"""Where the recorded results are."""

Key = tuple[str, str, str, float, int]
"""Workload, contestant, schedule, learning rate, seed."""


def key_of(record: dict) -> Key:
    """What tells a run from all others."""
    return (
        record["workload"],
        record["contestant"],
        record["schedule"],
        float(f"{record['learning_rate']:.6g}"),
        record["seed"],
    )


class Results:
    """Runs by key, read from and added to the `*.jsonl` files of a folder.

    Args:
        folder: Is made if it is not there.
        part: Name of the file that this process adds to.
        key_of: Callable that maps a run to what tells it from all others.
        files: Pattern of the names of the files that are read.
    """

    def __init__(
        self,
        folder: Path,
        part: str = "runs",
        key_of: Callable[[dict], tuple] = key_of,
        files: str = "*.jsonl",
    ) -> None:
        self.folder = folder
        self._path = folder / f"{part}.jsonl"
        self._key_of = key_of
        self.runs: dict[tuple, dict] = {}
        for path in sorted(folder.glob(files)):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.runs[key_of(record)] = record

    def add(self, record: dict) -> None:
        """Keeps a finished run, on disk at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(_rounded(record)) + "\n")
        self.runs[self._key_of(record)] = record

    def of(self, workload: str, contestant: str) -> Iterator[dict]:
        """All runs of a contestant on a workload."""
        for key, record in self.runs.items():
            if key[:2] == (workload, contestant):
                yield record


def environment() -> dict[str, str]:
    """Commit, versions and machine, for the record."""
    return {
        "commit": commit(),
        "versions": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _rounded(value):
    """Losses and times to 5 digits; a learning rate must stay what it is."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {
            key: item if key == "learning_rate" else _rounded(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
