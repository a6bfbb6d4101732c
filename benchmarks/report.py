"""Tables and pictures of the benchmark, made from its raw results alone.

python -m benchmarks.report [--output FOLDER] [--pictures FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import analysis
from benchmarks.ablations import ABLATIONS
from benchmarks.contestants import BASELINES, OURS, PEERS
from benchmarks.results import RECORDED, Results
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


def target_table(results: Results) -> str:
    """FuzzyHess untuned beside the best tuned baseline, and its robustness."""
    rows, medians = [], []
    for name in WORKLOADS:
        best = analysis.best_baseline(results, name)
        ours = analysis.tuned(results, name, "fuzzyhess")
        if best is None or ours is None:
            continue
        relative = analysis.relative_gradients(results, name, "fuzzyhess")
        medians.append(float(np.median(relative)))
        changes = []
        for other in ("fuzzyhess/4", "fuzzyhess*4"):
            changed = analysis.tuned(results, name, other)
            loss = np.nan if changed is None else np.mean(changed.losses)
            changes.append(f"{100 * (loss / np.mean(ours.losses) - 1):+.0f} %")
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


def contestants_table(results: Results) -> str:
    """Training loss of everyone, each tuned, as a multiple of the best baseline's."""
    names = [n for n in (*BASELINES, *PEERS, "fuzzyhess") if _has_run(results, n)]
    rows = []
    for name in WORKLOADS:
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


def ablation_table(results: Results) -> str:
    """Training loss of FuzzyHess without a part, as a multiple of its own."""
    names = [n for n in ABLATIONS if _has_run(results, n)]
    rows = []
    for name in WORKLOADS:
        cells = [analysis.ablation_ratio(results, name, n) for n in names]
        rows.append([name, *("" if r is None else f"{r:.3g}" for r in cells)])
    ratios = [analysis.ablation_ratios(results, n) for n in names]
    rows.append(["median", *(f"{np.median(r):.3g}" for r in ratios)])
    means = [np.exp(np.mean(np.log(r))) for r in ratios]
    rows.append(["geometric mean", *(f"{mean:.3g}" for mean in means)])
    return table(["workload", *names], rows)


def _has_run(results: Results, contestant: str) -> bool:
    return any(key[1] == contestant for key in results.runs)


def draw(results: Results, folder: Path) -> Path:
    """Training loss over gradients, each workload, FuzzyHess and the baselines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [n for n in WORKLOADS if analysis.tuned(results, n, "fuzzyhess")]
    figure, grid = plt.subplots(3, 4, figsize=(13, 8), layout="constrained")
    for ax, name in zip(grid.flat, names, strict=False):
        for contestant in (*BASELINES, "fuzzyhess"):
            found = analysis.tuned(results, name, contestant)
            if found is None:
                continue
            averaged = contestant in OURS
            curves = [analysis.curve_of(r, averaged) for r in found.records]
            budget = WORKLOADS[name].gradients
            x = np.linspace(budget / 20, budget, 60)
            y = np.median([np.interp(x, *curve) for curve in curves], axis=0)
            label = contestant if averaged else f"{contestant}, tuned"
            ax.plot(x, y, label=label, linewidth=2.5 if averaged else 1.2)
        ax.set(title=name, yscale="log", xlabel="gradient evaluations")
    for ax in grid.flat[len(names) :]:
        ax.axis("off")
    grid.flat[0].legend()
    figure.suptitle("Training loss: FuzzyHess untuned beside tuned optimizers")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "benchmark.png"
    figure.savefig(path, dpi=48)
    plt.close(figure)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RECORDED)
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    results = Results(arguments.output)
    for title, text in (
        ("FuzzyHess untuned beside the best tuned baseline", target_table(results)),
        (
            "All, as a multiple of it (with averaged weights)",
            contestants_table(results),
        ),
        ("Ablations, as a multiple of FuzzyHess", ablation_table(results)),
    ):
        print(f"## {title}\n\n{text}\n")
    print(draw(results, arguments.pictures))


if __name__ == "__main__":
    main()
