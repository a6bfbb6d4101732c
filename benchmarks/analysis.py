"""What the raw results say: losses reached, and gradients needed to reach a loss.

Of FuzzyHess counts what `fit` leaves, the averaged weights; of all others the weights
themselves, with what averaging would have brought in a column of its own.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.ablations import ABLATIONS
from benchmarks.contestants import BASELINES, LEARNED, LONG_BASELINES, OURS, PLANNED
from benchmarks.protocol import best_setting, final_loss
from benchmarks.results import Results
from benchmarks.sets import ALL
from benchmarks.training import EVALUATIONS
from benchmarks.workloads import WORKLOADS

AVERAGING = {*OURS, *PLANNED, *LEARNED, *ABLATIONS}
"""Contestants that end with averaged weights."""


@dataclass(frozen=True)
class Tuned:
    """A contestant with its best setting on a workload, one entry for each seed.

    Attributes:
        contestant: Name.
        schedule: Best schedule, by the mean final training loss.
        learning_rate: Best learning rate of the schedule, by seed 0.
        losses: Final training losses at the budget.
        averaged: The same of the averaged weights.
        accuracies: Held-back accuracies, or None.
        held_back: Held-back losses.
        records: The runs.
    """

    contestant: str
    schedule: str
    learning_rate: float
    losses: np.ndarray
    averaged: np.ndarray
    held_back: np.ndarray
    accuracies: np.ndarray | None
    records: list[dict]


def tuned(results: Results, workload: str, contestant: str) -> Tuned | None:
    """The best setting of a contestant, or None where it has not been run."""
    runs = list(results.of(workload, contestant))
    candidates = []
    for schedule in sorted({run["schedule"] for run in runs}):
        of_schedule = [run for run in runs if run["schedule"] == schedule]
        best = best_setting(of_schedule)
        if best is None:
            continue
        chosen = [
            run for run in of_schedule if run["learning_rate"] == best["learning_rate"]
        ]
        candidates.append(_tuned(workload, contestant, best, chosen))
    return min(candidates, key=lambda t: float(np.mean(t.losses)), default=None)


def _tuned(workload, contestant, best, records) -> Tuned:
    averages = contestant in AVERAGING
    key = "averaged_held_back" if averages else "held_back"
    budget = ALL[workload].gradients
    at_budget = [loss_at(run, budget, averages) for run in records]
    accuracies = None
    if ALL[workload].classifies:
        accuracies = np.array([run[key]["accuracy"] for run in records])
    return Tuned(
        contestant,
        best["schedule"],
        best["learning_rate"],
        np.array(at_budget),
        np.array([final_loss(run, averaged=True) for run in records]),
        np.array([run[key]["loss"] for run in records]),
        accuracies,
        records,
    )


def curve_of(record: dict, averaged: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gradients taken and training losses."""
    curve = record["curve"]
    losses = np.array(curve["averaged_loss" if averaged else "loss"], float)
    return np.array(curve["gradients"], float), losses


def loss_at(record: dict, gradients: float, averaged: bool) -> float:
    """Training loss after so many gradients, between two evaluations by a line."""
    taken, losses = curve_of(record, averaged)
    if not math.isfinite(losses[-1]):
        return math.inf
    return float(np.interp(gradients, taken, losses))


def gradients_to(record: dict, target: float, averaged: bool) -> float:
    """Gradients after which the training loss is first at the target, or infinity."""
    return _first_at(*curve_of(record, averaged), target)


def _first_at(taken: np.ndarray, losses: np.ndarray, target: float) -> float:
    reached = np.flatnonzero(losses <= target)
    if not len(reached):
        return math.inf
    i = reached[0]
    if i == 0 or not math.isfinite(losses[i - 1]):
        return float(taken[i])
    share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
    return float(taken[i - 1] + share * (taken[i] - taken[i - 1]))


def best_baseline(results: Results, workload: str) -> Tuned | None:
    """The tuned baseline with the lowest mean training loss."""
    found = [tuned(results, workload, n) for n in (*BASELINES, *LONG_BASELINES)]
    return min(
        (t for t in found if t is not None),
        key=lambda t: float(np.mean(t.losses)),
        default=None,
    )


def relative_gradients(results: Results, workload: str, contestant: str) -> np.ndarray:
    """For each seed, gradients to the best baseline's loss by the budget."""
    target, ours = (
        best_baseline(results, workload),
        tuned(results, workload, contestant),
    )
    if target is None or ours is None:
        return np.array([])
    return shares_to(ours, target, workload)


def shares_to(found: Tuned, target: Tuned, workload: str) -> np.ndarray:
    """For each seed, gradients to the target's mean loss by the budget."""
    goal, budget = float(np.mean(target.losses)), ALL[workload].gradients
    averages = found.contestant in AVERAGING
    return np.array([gradients_to(r, goal, averages) / budget for r in found.records])


def mean_gradients_to(found: Tuned, workload: str, target: float) -> float:
    """Gradients after which the mean over seeds is at the target, by the budget.

    Infinite where it is not, or where a seed diverged.
    """
    budget = ALL[workload].gradients
    averaged = found.contestant in AVERAGING
    taken = budget * np.arange(1, EVALUATIONS + 1) / EVALUATIONS
    curves = [
        [loss_at(record, gradients, averaged) for gradients in taken]
        for record in found.records
    ]
    # Means of the same numbers in another order differ by rounding.
    return _first_at(taken, np.mean(curves, axis=0), target * (1 + 1e-9))


def ablation_ratio(
    results: Results, workload: str, ablation: str, measure: str = "losses"
) -> float | None:
    """A loss as a multiple of FuzzyHess's, of the seeds that both have.

    Args:
        results: `Results`.
        workload: Name.
        ablation: Name of another FuzzyHess.
        measure: "losses", those of training, or "held_back".
    """
    ours, other = (tuned(results, workload, n) for n in ("fuzzyhess", ablation))
    if ours is None or other is None:
        return None
    seeds = [record["seed"] for record in ours.records]
    own = getattr(ours, measure)
    paired = [own[seeds.index(record["seed"])] for record in other.records]
    return float(np.mean(getattr(other, measure)) / np.mean(paired))


def ablation_ratios(
    results: Results,
    ablation: str,
    workloads: Iterable[str] = WORKLOADS,
    measure: str = "losses",
) -> list[float]:
    """`ablation_ratio` on the workloads on which it was run."""
    ratios = [ablation_ratio(results, name, ablation, measure) for name in workloads]
    return [ratio for ratio in ratios if ratio is not None]
