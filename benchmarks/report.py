"""Tables and pictures of the benchmark, made from its raw results alone.

python -m benchmarks.report [--set chosen|unseen|long] [--output FOLDER]
    [--picture FILE]
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import analysis, bootstrap, looks
from benchmarks.ablations import ABLATIONS
from benchmarks.contestants import (
    BASELINES,
    LEARNED,
    LONG_BASELINES,
    OURS,
    PEERS,
    PLANNED,
)
from benchmarks.profiles import FACTORS, profiles
from benchmarks.results import Results
from benchmarks.sets import ALL, SETS
from benchmarks.workloads import WORKLOADS

NOISE = 0.03
"""Differences of medians over workloads that two seeds do not tell from nothing."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: np.ndarray, digits: int = 4) -> str:
    """Mean and range."""
    if not len(values) or not np.all(np.isfinite(values)):
        return "diverged"
    mean, low, high = np.mean(values), np.min(values), np.max(values)
    return f"{mean:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def share(value: float) -> str:
    """Gradients relative to the budget; what was never reached is more than 1.5."""
    return f"{value:.2f}" if np.isfinite(value) else "> 1.5"


def target_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """FuzzyHess untuned beside the best tuned baseline, and its robustness."""
    rows, medians = [], []
    for name, best, ours in _compared(results, workloads):
        relative = analysis.relative_gradients(results, name, "fuzzyhess")
        medians.append(float(np.median(relative)))
        changes = []
        for other in ("fuzzyhess/4", "fuzzyhess*4"):
            changed = analysis.tuned(results, name, other)
            if changed is None:
                changes.append("not run")
                continue
            ratio = np.mean(changed.losses) / np.mean(ours.losses)
            changes.append(f"{100 * (ratio - 1):+.0f} %")
        held_back = [
            spread(t.held_back if t.accuracies is None else t.accuracies, 3)
            for t in (best, ours)
        ]
        setting = f"{best.contestant}, {best.schedule}, {best.learning_rate:.2g}"
        rows.append(
            [
                name,
                setting,
                spread(best.losses),
                spread(ours.losses),
                share(medians[-1]),
                *held_back,
                *changes,
            ]
        )
    header = [
        "workload",
        "best baseline",
        "its training loss",
        "FuzzyHess",
        "gradients to it",
        "held back: baseline",
        "FuzzyHess",
        "learning_rate / 4",
        "x 4",
    ]
    finite = [m for m in medians if m <= 1.0]
    summary = (
        f"Median over workloads: {share(float(np.median(medians)))} of the baseline's "
        f"gradients; at most 1.0 on {len(finite)} of {len(medians)} workloads."
        if medians
        else "No results."
    )
    return f"{table(header, rows)}\n\n{summary}"


def contestants_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """Training loss of everyone, each tuned, as a multiple of the best baseline's."""
    everyone = (*BASELINES, *LONG_BASELINES, *PEERS, *PLANNED, "fuzzyhess")
    names = [n for n in everyone if _has_run(results, n)]
    rows = []
    for name in workloads:
        best = analysis.best_baseline(results, name)
        if best is None:
            continue
        goal = float(np.mean(best.losses))
        row = [name]
        for contestant in names:
            found = analysis.tuned(results, name, contestant)
            if found is None:
                row.append("")
                continue
            row.append(f"{np.mean(found.losses) / goal:.3g}")
            if contestant in BASELINES:
                averaged = np.mean(found.averaged) / goal
                known = f"{averaged:.3g}" if np.isfinite(averaged) else "spoilt"
                row[-1] += f" ({known})"
        rows.append(row)
    return table(["workload", *names], rows)


def ablation_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """Training loss of FuzzyHess without a part, as a multiple of its own."""
    names = [n for n in ABLATIONS if _has_run(results, n)]
    if not names:
        return "None run."
    rows = []
    for name in workloads:
        cells = [analysis.ablation_ratio(results, name, n) for n in names]
        rows.append([name, *("" if r is None else f"{r:.3g}" for r in cells)])
    ratios = [analysis.ablation_ratios(results, n, workloads) for n in names]
    rows.append(["median", *(f"{np.median(r):.3g}" for r in ratios)])
    means = [np.exp(np.mean(np.log(r))) for r in ratios]
    rows.append(["geometric mean", *(f"{mean:.3g}" for mean in means)])
    return table(["workload", *names], rows)


def variants_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """FuzzyHess that is told the number of steps, and with learned rules.

    As multiples of FuzzyHess as it is: geometric mean (range) over workloads.
    """
    rows = []
    for variant in (*PLANNED, *LEARNED):
        if not _has_run(results, variant):
            continue
        cells = []
        for measure in ("losses", "held_back"):
            ratios = analysis.ablation_ratios(results, variant, workloads, measure)
            mean = np.exp(np.mean(np.log(ratios)))
            cells.append(f"{mean:.3g} ({min(ratios):.3g} to {max(ratios):.3g})")
            cells.append(f"{sum(r < 1 for r in ratios)} of {len(ratios)}")
        rows.append([variant, *cells])
    if not rows:
        return "None run."
    header = ["", "training loss", "lower on", "held-back loss", "lower on"]
    return table(header, rows)


def held_back_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """Held-back losses of FuzzyHess and of the best tuned baseline."""
    rows = []
    for name, best, ours in _compared(results, workloads):
        ratio = np.mean(ours.held_back) / np.mean(best.held_back)
        rows.append(
            [name, spread(best.held_back), spread(ours.held_back), f"{ratio:.2f}"]
        )
    return table(["workload", "best baseline", "FuzzyHess", "ratio"], rows)


def interval_line(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """The median share of gradients, and within which bounds it is."""
    found = [analysis.relative_gradients(results, n, "fuzzyhess") for n in workloads]
    shares = [values for values in found if len(values)]
    if not shares:
        return "No results."
    low, high = bootstrap.interval(shares)
    median = bootstrap.median_of_medians(shares)
    return (
        f"Median share of gradients: {share(median)}. Of {bootstrap.RESAMPLES:,} "
        f"resamples of workloads and seeds, 95 % are from {share(low)} to "
        f"{share(high)}. The baseline's loss is not resampled."
    )


def profile_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """Share of workloads on which each is within a factor of the best's gradients.

    Of those that were run on all workloads that have a baseline.
    """
    goals = {
        name: float(np.mean(best.losses))
        for name in workloads
        if (best := analysis.best_baseline(results, name))
    }
    gradients = {}
    for contestant in (*BASELINES, *PEERS, "fuzzyhess"):
        found = {name: analysis.tuned(results, name, contestant) for name in goals}
        # What was not run on a workload is not what did not get there.
        if goals and all(found.values()):
            gradients[contestant] = [
                analysis.mean_gradients_to(tuned, name, goals[name])
                for name, tuned in found.items()
                if tuned is not None
            ]
    if not gradients:
        return "No results."
    header = ["", *(f"{factor:g}" for factor in FACTORS)]
    shares = profiles(gradients).items()
    return table(header, [[n, *(f"{s:.2f}" for s in row)] for n, row in shares])


def peers_table(
    results: Results,
    workloads: Iterable[str] = WORKLOADS,
    contestant: str = "fuzzyhess",
) -> str:
    """FuzzyHess beside each tuned peer that was run on all workloads."""
    rows = []
    for peer in PEERS:
        shares, higher = [], {}
        for name in workloads:
            ours = analysis.tuned(results, name, contestant)
            theirs = analysis.tuned(results, name, peer)
            if ours is None or theirs is None:
                break
            shares.append(float(np.median(analysis.shares_to(ours, theirs, name))))
            ratio = float(np.mean(ours.losses) / np.mean(theirs.losses))
            if ratio > 1 + NOISE:
                higher[name] = ratio
        else:
            told = sorted(higher.items(), key=lambda item: -item[1])
            rows.append(
                [
                    peer,
                    share(float(np.median(shares))),
                    f"{sum(map(np.isfinite, shares))} of {len(shares)}",
                    ", ".join(f"{n} {100 * (r - 1):.0f} %" for n, r in told) or "none",
                ]
            )
    if not rows:
        return "None run."
    header = ["peer", "gradients to its loss", "reached", "FuzzyHess ends higher on"]
    return table(header, rows)


def planned_peers_table(results: Results, workloads: Iterable[str] = WORKLOADS) -> str:
    """FuzzyHess that knows the number of steps beside those with a cosine schedule."""
    (planned,) = PLANNED
    return peers_table(results, workloads, planned)


def _compared(
    results: Results, workloads: Iterable[str]
) -> Iterator[tuple[str, analysis.Tuned, analysis.Tuned]]:
    """Workloads that both were run on, with the best baseline and FuzzyHess."""
    for name in workloads:
        best = analysis.best_baseline(results, name)
        ours = analysis.tuned(results, name, "fuzzyhess")
        if best is not None and ours is not None:
            yield name, best, ours


def _has_run(results: Results, contestant: str) -> bool:
    return any(key[1] == contestant for key in results.runs)


def draw(results: Results, path: Path, workloads: Iterable[str] = WORKLOADS) -> None:
    """Training loss over gradients, each workload, FuzzyHess and the baselines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [n for n in workloads if analysis.tuned(results, n, "fuzzyhess")]
    figure, grid = plt.subplots(3, 4, figsize=(13, 8), layout="constrained")
    for ax, name in zip(grid.flat, names, strict=False):
        for contestant in (*BASELINES, *LONG_BASELINES, "fuzzyhess"):
            found = analysis.tuned(results, name, contestant)
            if found is None:
                continue
            averaged = contestant in OURS
            curves = [analysis.curve_of(r, averaged) for r in found.records]
            budget = ALL[name].gradients
            x = np.linspace(budget / 20, budget, 60)
            y = np.median([np.interp(x, *curve) for curve in curves], axis=0)
            label = contestant if averaged else f"{contestant}, tuned"
            ax.plot(x, y, label=label, linewidth=2.5 if averaged else 1.2)
        ax.set(title=name, yscale="log", xlabel="gradient evaluations")
    for ax in grid.flat[len(names) :]:
        ax.axis("off")
    if names:
        grid.flat[0].legend()
    figure.suptitle("Training loss: FuzzyHess untuned beside tuned optimizers")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=48)
    plt.close(figure)


def looks_line(results: Results) -> str:
    """How many versions of FuzzyHess were run on the test set."""
    count = len(looks.looks(results))
    return f"Looks at this set (versions of FuzzyHess that were run on it): {count}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="chosen")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    chosen = SETS[arguments.set]
    results = Results(arguments.output or chosen.folder)
    if chosen.is_unseen:
        print(f"{looks_line(results)}\n")
    for title, tell in (
        ("FuzzyHess untuned beside the best tuned baseline", target_table),
        ("How sure the median is", interval_line),
        ("Held-back loss", held_back_table),
        ("All, as a multiple of it (with averaged weights)", contestants_table),
        (
            "Share of workloads at its loss within so many times the fewest gradients",
            profile_table,
        ),
        ("FuzzyHess beside tuned peers", peers_table),
        ("Told the number of steps, beside tuned peers", planned_peers_table),
        ("Told the number of steps, and with learned rules", variants_table),
        ("Ablations, as a multiple of FuzzyHess", ablation_table),
    ):
        print(f"## {title}\n\n{tell(results, chosen.workloads)}\n")
    picture = arguments.picture or chosen.picture
    draw(results, picture, chosen.workloads)
    print(picture)


if __name__ == "__main__":
    main()
