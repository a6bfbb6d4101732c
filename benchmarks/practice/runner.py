"""Which runs are made, and one of them.

Every learning rate of a contestant is tried with the seed 0; the one with the lowest
validated value is run with the other seeds.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras

from benchmarks.practice.case import Case
from benchmarks.practice.cases import CASES
from benchmarks.practice.contestants import RECIPES, Recipe
from benchmarks.results import Results, environment

RECORDED = Path(__file__).parent.parent / "results" / "practice.jsonl"
"""The recorded results."""

VALIDATED = 0.2
"""The share of the examples that is validated."""

EVALUATED_AT_ONCE = 1_000
"""Examples; metrics of distributions need them together."""


def key_of(record: dict) -> tuple[str, str, float, int]:
    """What tells a run from all others."""
    return (
        record["case"],
        record["contestant"],
        record["learning_rate"],
        record["seed"],
    )


def open_results(path: Path) -> Results:
    """Those in one file."""
    return Results(path.parent, path.stem, key_of, path.name)


def validated(record: dict) -> float:
    """What the kept epoch was chosen by; infinite where it is not a number."""
    value = record["validated"]
    return value if math.isfinite(value) else math.inf


def best_rate(records: list[dict]) -> float:
    """Of the runs with seed 0 the learning rate with the lowest validated value."""
    return min((r for r in records if r["seed"] == 0), key=validated)["learning_rate"]


def train(case: Case, recipe: Recipe, learning_rate: float, seed: int) -> dict:
    """One training, as a user would write it.

    Args:
        case: What is trained.
        recipe: With which optimizer.
        learning_rate: The optimizer's.
        seed: Seed of initial weights, order of minibatches and noise.

    Returns:
        The held-back `error` of the weights that the user ends with, the error by
        `chance`, what was `validated`, each epoch's `curve` of that, how many `epochs`
        it took and `seconds` of the processor, graphs and evaluations included.
    """

    def make() -> keras.Optimizer:
        optimizer = recipe.make()
        optimizer.learning_rate = learning_rate
        return optimizer

    data = case.load()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = case.build()
    curve: list[float] = []
    start = time.process_time()
    for prepare in case.stages:
        prepare(model)
        case.compile_with(model, make)
        stop = keras.callbacks.EarlyStopping(
            case.monitor, patience=case.patience, mode="min", restore_best_weights=True
        )
        history = model.fit(
            data.x,
            data.y,
            batch_size=case.batch_size,
            epochs=case.epochs,
            validation_split=VALIDATED,
            validation_batch_size=EVALUATED_AT_ONCE,
            callbacks=[*recipe.callbacks(), stop],
            verbose=0,
        ).history[case.monitor]
        curve += history
    seconds = time.process_time() - start
    held_back = model.evaluate(
        data.x_held_back,
        data.y_held_back,
        batch_size=EVALUATED_AT_ONCE,
        verbose=0,
        return_dict=True,
    )
    return {
        "error": float(case.error(held_back)),
        "chance": case.chance(data),
        "validated": float(min(history, key=lambda v: v if v == v else math.inf)),
        "curve": [float(value) for value in curve],
        "epochs": len(curve),
        "seconds": seconds,
    }


def measure(
    case: str,
    contestant: str,
    seeds: int,
    results: Results,
    say: Callable[[str], None] = print,
) -> None:
    """Runs what is missing of a contestant on a case."""
    recipe = RECIPES[contestant]

    def run(learning_rate: float, seed: int) -> None:
        record: dict = {
            "case": case,
            "contestant": contestant,
            "learning_rate": learning_rate,
            "seed": seed,
        }
        if key_of(record) in results.runs:
            return
        record |= train(CASES[case], recipe, learning_rate, seed)
        results.add(record | environment())
        say(
            f"{case}, {contestant} {learning_rate:.3g}, seed {seed}: "
            f"error {record['error']:.4g}, {record['epochs']} epochs, "
            f"{record['seconds']:.1f} s"
        )

    for learning_rate in recipe.learning_rates:
        run(learning_rate, 0)
    best = best_rate(list(results.of(case, contestant)))
    for seed in range(1, seeds):
        run(best, seed)
