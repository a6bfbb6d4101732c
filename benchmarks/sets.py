"""The sets of workloads: that on which constants are chosen, and the test set."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks import unseen, workloads
from benchmarks.results import RECORDED
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Set:
    """Workloads that are run and told together.

    Attributes:
        workloads: By name.
        folder: Where the runs are recorded.
        picture: The file that the report draws.
        is_unseen: Whether nothing may be chosen on it, so that looks are counted.
    """

    workloads: dict[str, Workload]
    folder: Path
    picture: Path
    is_unseen: bool = False


SETS = {
    "chosen": Set(workloads.WORKLOADS, RECORDED, Path("docs/images/benchmark.png")),
    "unseen": Set(
        unseen.WORKLOADS,
        RECORDED.parent / "unseen",
        Path("docs/images/test_set.png"),
        is_unseen=True,
    ),
}
"""By name, as on the command line."""

ALL: dict[str, Workload] = {
    name: workload
    for each in SETS.values()
    for name, workload in each.workloads.items()
}
"""Workloads of all sets; no two have the same name."""
