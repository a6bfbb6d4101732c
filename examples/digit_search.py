"""Searches the fuzzy rules of FuzzyHess for the quickstart's network on MNIST.

Runs in one process, or as KerasTuner's chief or one of its workers where
`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` say so:
`tune_distributed.py` starts it so on this machine, and `docs/distributed_tuning.md`
tells how to on a cluster. The rules of the best trial are saved as `tuned.json`.

    python examples/digit_search.py --trials 10 --epochs 3 --seed 0
        --output results/digits
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from quickstart import BATCH_SIZE, build_network, load_digits

from keras_fuzzyhess.tuner import (
    FuzzyHessHyperModel,
    RandomSearch,
    best_rule_base,
    clean_search,
)


def make_tuner(trials, seed, output):
    hypermodel = FuzzyHessHyperModel(
        lambda hp: build_network(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return RandomSearch(
        hypermodel,
        objective="val_loss",
        max_trials=trials,
        seed=seed,
        directory=output.parent,
        project_name=output.name,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--trials", "--epochs", "--seed"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    tuner = make_tuner(arguments.trials, arguments.seed, arguments.output)
    (x, y), validation = load_digits()
    has_results = clean_search(
        tuner,
        x,
        y,
        validation_data=validation,
        batch_size=BATCH_SIZE,
        epochs=arguments.epochs,
        verbose=2,
    )
    if has_results:
        best_rule_base(tuner).save(arguments.output / "tuned.json")


if __name__ == "__main__":
    main()
