"""Seconds to the tuned baseline's loss: gradients to it times what one takes.

    python -m benchmarks.seconds_to_loss [--set chosen|unseen] [--output FOLDER]
        [--contestant fuzzyhess] [--rounds 9]

Gradients are those of the recorded runs, a median over seeds. What a gradient takes is
measured anew, on one core: blocks of steps of both optimizers, in turn, each block long
enough for the probes that belong to it; the median over rounds of the ratio within a
round. Tracing is not counted, nor is the tuning of the baseline.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import analysis
from benchmarks.ablations import DIRECTIONS
from benchmarks.contestants import BASELINES, OURS
from benchmarks.report import share, table
from benchmarks.results import Results
from benchmarks.sets import ALL, SETS
from benchmarks.training import Training

STEPS = 100
BEFORE = 400  # steps of each beforehand: by then, probes are as frequent as on average


class Timed:
    """A training that is run by blocks of steps.

    Args:
        workload: The `Workload`.
        make: Callable that returns the optimizer.
        learning_rate: Its own.
    """

    def __init__(self, workload, make, learning_rate: float) -> None:
        self._training = Training(workload, make)
        self._rate = learning_rate
        self._batches = self._training.batches(0)
        self.milliseconds(BEFORE)

    def milliseconds(self, steps: int = STEPS) -> float:
        """What a gradient has taken, probes among them."""
        training = self._training
        indices = np.stack([next(self._batches) for _ in range(steps)])
        before, start = training.gradient_evaluations(), time.perf_counter()
        training.train(indices, np.full(steps, self._rate, "float32"))
        seconds = time.perf_counter() - start
        return 1e3 * seconds / (training.gradient_evaluations() - before)


CONTESTANTS = {"fuzzyhess": OURS["fuzzyhess"], **DIRECTIONS}
"""What is put beside the baseline: FuzzyHess, with one direction or another."""


def row(results: Results, name: str, contestant: str, rounds: int) -> list[str] | None:
    """A workload's line of the table, or None where results are missing."""
    best = analysis.best_baseline(results, name)
    gradients = analysis.relative_gradients(results, name, contestant)
    if best is None or not len(gradients):
        return None
    baseline = Timed(ALL[name], BASELINES[best.contestant].make, best.learning_rate)
    ours = Timed(ALL[name], CONTESTANTS[contestant].make, 1.0)
    times = np.array(
        [(baseline.milliseconds(), ours.milliseconds()) for _ in range(rounds)]
    )
    ratio = float(np.median(times[:, 1] / times[:, 0]))
    typical = float(np.median(gradients))
    keras.utils.clear_session()
    return [
        name,
        best.contestant,
        *(f"{time:.2f}" for time in np.median(times, axis=0)),
        f"{ratio:.2f}",
        share(typical),
        share(ratio * typical),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, default="chosen")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--contestant", choices=CONTESTANTS, default="fuzzyhess")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    chosen = SETS[arguments.set]
    results = Results(arguments.output or chosen.folder)
    rows = [
        row(results, name, arguments.contestant, arguments.rounds)
        for name in chosen.workloads
    ]
    header = [
        "workload",
        "best baseline",
        "its ms a gradient",
        f"{arguments.contestant}'s",
        "ratio",
        "gradients to its loss",
        "seconds to its loss",
    ]
    print(table(header, [line for line in rows if line is not None]))


if __name__ == "__main__":
    main()
