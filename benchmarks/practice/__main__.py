"""Trains what is missing of the benchmark of how people train.

    python -m benchmarks.practice [--output FILE] [--cases …] [--contestants …] …

Goes on where it was stopped: finished runs are in the file. One process with a single
thread; to use more cores, give each a part of the cases.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from benchmarks.datasets import MissingData
from benchmarks.practice.cases import CASES
from benchmarks.practice.contestants import RECIPES
from benchmarks.practice.runner import RECORDED, measure, open_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RECORDED)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--contestants", nargs="+", choices=RECIPES, default=list(RECIPES)
    )
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    results = open_results(arguments.output)
    for case in arguments.cases:
        for contestant in arguments.contestants:
            try:
                measure(case, contestant, arguments.seeds, results)
            except MissingData as error:
                sys.exit(f"{case}: {error}")


if __name__ == "__main__":
    main()
