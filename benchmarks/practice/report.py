"""Tables and answers from the recorded runs alone.

python -m benchmarks.practice.report [--output FILE]
"""

import argparse
import math
from pathlib import Path

import numpy as np

from benchmarks.practice.cases import CASES
from benchmarks.practice.contestants import AS_IT_IS, OURS, RECIPES, TUNED
from benchmarks.practice.runner import RECORDED, best_rate, open_results
from benchmarks.report import spread, table
from benchmarks.results import Results

AT_CHANCE = 0.9
"""A run has ended at chance if its error is more than this share of chance's."""


def error(record: dict) -> float:
    """The held-back error; that of chance where it is not a number."""
    return record["error"] if math.isfinite(record["error"]) else record["chance"]


def ended_at_chance(record: dict) -> bool:
    """Whether the user ends with next to nothing learned."""
    return error(record) > AT_CHANCE * record["chance"]


def runs(results: Results, case: str, contestant: str) -> list[dict]:
    """All seeds with the learning rate that was chosen."""
    tried = list(results.of(case, contestant))
    if not any(record["seed"] == 0 for record in tried):
        return []
    rate = best_rate(tried)
    chosen = [record for record in tried if record["learning_rate"] == rate]
    return sorted(chosen, key=lambda record: record["seed"])


def mean_error(found: list[dict]) -> float:
    return float(np.mean([error(record) for record in found]))


def ratios(results: Results, other: str) -> dict[str, float]:
    """For each case FuzzyHess's mean error as a multiple of another's."""
    pairs = {
        case: (runs(results, case, OURS), runs(results, case, other)) for case in CASES
    }
    return {
        case: mean_error(ours) / mean_error(others)
        for case, (ours, others) in pairs.items()
        if ours and others
    }


def cases_table(results: Results) -> str:
    """Each contestant in each case."""
    rows = []
    for case in CASES:
        for contestant in RECIPES:
            found = runs(results, case, contestant)
            if not found:
                continue
            rate = found[0]["learning_rate"]
            is_tuned = len(RECIPES[contestant].learning_rates) > 1
            rows.append(
                [
                    case,
                    contestant + (f" {rate:.0e}" if is_tuned else ""),
                    spread(np.array([error(record) for record in found]), 3),
                    f"{sum(map(ended_at_chance, found))} of {len(found)}",
                    f"{np.mean([record['epochs'] for record in found]):.1f}",
                    f"{np.mean([record['seconds'] for record in found]):.1f}",
                ]
            )
    header = ["case", "contestant", "held-back error", "at chance", "epochs", "seconds"]
    return table(header, rows)


def answers(results: Results) -> str:
    """What the benchmark asks, and what the runs say."""
    beside_adam, beside_tuned = ratios(results, AS_IT_IS), ratios(results, TUNED)
    worse = {case: ratio for case, ratio in beside_adam.items() if ratio > 1}
    lines = [
        "At least as good as Adam as it is on every case, in the mean? "
        + _on_every_case(worse, len(beside_adam)),
        "At least as good as tuned AdamW, in the median over cases? "
        + _in_the_median(list(beside_tuned.values())),
    ]
    for contestant in RECIPES:
        found = [r for case in CASES for r in runs(results, case, contestant)]
        count = sum(map(ended_at_chance, found))
        lines.append(f"Runs of {contestant} at chance: {count} of {len(found)}.")
    return "\n".join(f"- {line}" for line in lines)


def _on_every_case(worse: dict[str, float], count: int) -> str:
    if not count:
        return "No results."
    if not worse:
        return f"Yes, on all {count}."
    named = "; ".join(f"{case} ({ratio:.2f})" for case, ratio in worse.items())
    return f"No: {count - len(worse)} of {count}. Ratios on the rest: {named}."


def _in_the_median(found: list[float]) -> str:
    if not found:
        return "No results."
    median = float(np.median(found))
    return (
        f"{'Yes' if median <= 1 else 'No'}: the ratio of errors is {median:.2f}, from "
        f"{min(found):.2f} to {max(found):.2f}, over {len(found)} cases."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RECORDED)
    results = open_results(parser.parse_args().output)
    print(f"{cases_table(results)}\n\n{answers(results)}")


if __name__ == "__main__":
    main()
