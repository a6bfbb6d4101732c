"""Which runs are made: all contestants are tuned and measured alike.

Every learning rate and schedule of a contestant is tried with the seed 0. The pair with
the lowest final training loss, for each schedule, is run with the other seeds.
"""

import functools
import math
from collections.abc import Callable, Iterable

import keras
import numpy as np

from benchmarks.ablations import ABLATIONS, PARTS
from benchmarks.contestants import (
    BASELINES,
    LEARNED,
    LONG_BASELINES,
    OURS,
    PEERS,
    PLANNED,
    Contestant,
)
from benchmarks.provenance import fingerprint
from benchmarks.results import Results, environment, key_of
from benchmarks.sets import ALL
from benchmarks.training import Training
from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.probe_schedule import (
    LENGTH_PROBE,
    ProbeSchedule,
    probe_steps,
)

CONTESTANTS: dict[str, Contestant] = (
    BASELINES | OURS | ABLATIONS | PEERS | LONG_BASELINES | PLANNED | LEARNED
)

FUZZYHESS = OURS | ABLATIONS | PLANNED | LEARNED
"""Those whose records tell which FuzzyHess was run."""

SEEDS = dict.fromkeys(PARTS, 2) | dict.fromkeys(PEERS, 1)
"""Seeds of those that are measured less often than `--seeds` says."""

OVERTIME = 1.5
"""FuzzyHess may go on for so many budgets, to see when it gets there."""


def final_loss(record: dict, averaged: bool = False) -> float:
    """The last training loss; infinite where the training diverged."""
    loss = record["curve"]["averaged_loss" if averaged else "loss"][-1]
    return loss if math.isfinite(loss) else math.inf


def best_setting(records: Iterable[dict]) -> dict | None:
    """Of the runs with seed 0 the one with the lowest final loss."""
    candidates = [r for r in records if r["seed"] == 0]
    return min(candidates, key=final_loss, default=None)


def steps_within(gradients: int) -> int:
    """How many steps of `FuzzyHess()` a budget is enough for, its probes counted.

    Example:

    >>> steps_within(600)
    564
    """
    schedule = ProbeSchedule(FuzzyHess().probe_interval)
    _, of_loss = probe_steps(
        schedule.interval, schedule.thinning, schedule.early_curvature_probe
    )
    has_probe = np.isin(np.arange(gradients), [LENGTH_PROBE, *of_loss])
    taken = np.cumsum(1 + has_probe)
    return int(np.searchsorted(taken, gradients, side="right"))


def measure(
    workload: str,
    contestant: str,
    seeds: int,
    results: Results,
    say: Callable[[str], None] = print,
) -> None:
    """Runs what is missing of a contestant on a workload."""
    plan, spec = CONTESTANTS[contestant], ALL[workload]

    def make() -> keras.Optimizer:
        optimizer = plan.make()
        if plan.is_planned:
            optimizer.total_steps = steps_within(spec.gradients)
        return optimizer

    # Made for the first run that is missing, for it loads the data.
    training = functools.cache(lambda: Training(spec, make))
    overtime = OVERTIME if contestant in OURS else 1.0
    context = environment() | (fingerprint() if contestant in FUZZYHESS else {})

    def run(schedule: str, learning_rate: float, seed: int) -> None:
        record: dict = {
            "workload": workload,
            "contestant": contestant,
            "schedule": schedule,
            "learning_rate": learning_rate,
            "seed": seed,
        }
        if key_of(record) in results.runs:
            return
        record |= training().run(
            learning_rate, schedule, seed, spec.gradients, overtime
        )
        results.add(record | context)
        say(
            f"{workload} {contestant} {schedule} {learning_rate:.3g} seed {seed}: "
            f"{final_loss(record):.4g}"
        )

    for schedule in plan.schedules:
        for learning_rate in plan.learning_rates:
            run(schedule, learning_rate, 0)
        tried = [
            r for r in results.of(workload, contestant) if r["schedule"] == schedule
        ]
        best = best_setting(tried)
        if best is not None:
            for seed in range(1, min(seeds, SEEDS.get(contestant, seeds))):
                run(schedule, best["learning_rate"], seed)
