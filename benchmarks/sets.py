"""The sets of workloads: to choose constants on, to test on, and to train for long."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import unseen, workloads
from benchmarks.ablations import ABLATIONS
from benchmarks.contestants import BASELINES, LONG_BASELINES, OURS, PEERS, PLANNED
from benchmarks.results import RECORDED
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Set:
    """Workloads that are run and told together.

    Attributes:
        workloads: By name.
        folder: Where the runs are recorded.
        picture: The file that the report draws.
        usual: Contestants that are run unless others are asked for.
        is_unseen: Whether nothing may be chosen on it, so that looks are counted.
    """

    workloads: dict[str, Workload]
    folder: Path
    picture: Path
    usual: tuple[str, ...]
    is_unseen: bool = False


LENGTH = 10
"""How much longer long trainings are."""

LONG_WORKLOADS = {
    f"{name}_long": replace(
        workload, name=f"{name}_long", gradients=LENGTH * workload.gradients
    )
    for name, workload in workloads.WORKLOADS.items()
}

SETS = {
    "chosen": Set(
        workloads.WORKLOADS,
        RECORDED,
        Path("docs/images/benchmark.png"),
        usual=(*BASELINES, *OURS, *ABLATIONS, *PEERS),
    ),
    "unseen": Set(
        unseen.WORKLOADS,
        RECORDED.parent / "unseen",
        Path("docs/images/test_set.png"),
        usual=(*BASELINES, *OURS),  # ablations choose
        is_unseen=True,
    ),
    "long": Set(
        LONG_WORKLOADS,
        RECORDED.parent / "long",
        Path("docs/images/long_trainings.png"),
        usual=(*LONG_BASELINES, "fuzzyhess", *PLANNED),
    ),
}
"""By name, as on the command line."""

ALL: dict[str, Workload] = {
    name: workload
    for each in SETS.values()
    for name, workload in each.workloads.items()
}
"""Workloads of all sets; no two have the same name."""
