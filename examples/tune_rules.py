"""Tunes the fuzzy rules on MNIST and measures them on held-back digits.

KerasTuner searches the default rule base's breakpoints, weights and outputs for the
quickstart's network, on 3,000 digits for training and 1,000 for validation. Then the
default and the tuned rules are trained on these with seeds that the search has not
used, and measured on 1,000 digits that it has not seen. A search that was stopped goes
on when the command is given again.

    python examples/tune_rules.py [--trials 30] [--epochs 5] [--seeds 5] [--quick]
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
from quickstart import BATCH_SIZE, build_network, load_digits

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.tuner import (
    TPE,
    FuzzyHessHyperModel,
    best_rule_base,
    clean_search,
    export,
)

matplotlib.use("Agg")  # no display needed

LOSS = "sparse_categorical_crossentropy"
SEARCHED = 3000


def split():
    """Training and validation digits for the search, and those held back."""
    (x, y), held_back = load_digits()
    return (x[:SEARCHED], y[:SEARCHED]), (x[SEARCHED:], y[SEARCHED:]), held_back


def search(trials, epochs, output):
    training, validation, _ = split()
    tuner = TPE(
        FuzzyHessHyperModel(
            lambda hp: build_network(), loss=LOSS, metrics=["accuracy"]
        ),
        objective="val_loss",
        max_trials=trials,
        seed=0,
        directory=output,
        project_name="search",
    )
    clean_search(
        tuner,
        *training,
        validation_data=validation,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=2,
    )
    print("\n" + export(tuner, output))
    return best_rule_base(tuner)


def measure(rule_base, epochs, seed):
    """Training loss, held-back loss and accuracy."""
    training, _, held_back = split()
    keras.utils.set_random_seed(seed)
    model = build_network()
    model.compile(FuzzyHess(rule_base=rule_base), LOSS, metrics=["accuracy"])
    model.fit(*training, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    loss, _ = model.evaluate(*training, verbose=0)
    return [loss, *model.evaluate(*held_back, verbose=0)]


def compare(tuned, epochs, seeds):
    print(f"\n{'rules':<10}{'seed':>5}{'training loss':>15}", end="")
    print(f"{'held-back loss':>16}{'accuracy':>10}")
    for name, rules in (("default", default_rule_base()), ("tuned", tuned)):
        results = []
        for seed in range(1, seeds + 1):  # the search used 0
            results.append(measure(rules, epochs, seed))
            print_row(name, seed, results[-1])
        print_row(name, "mean", np.mean(results, axis=0))


def print_row(name, seed, values):
    loss, held_back, accuracy = values
    print(f"{name:<10}{seed:>5}{loss:>15.5f}{held_back:>16.4f}{accuracy:>10.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=5, help="of each training")
    parser.add_argument("--seeds", type=int, default=5, help="of the comparison")
    parser.add_argument("--quick", action="store_true", help="4 trials, 2 epochs")
    parser.add_argument("--output", type=Path, default=Path("results/tuned"))
    arguments = parser.parse_args()
    if min(arguments.trials, arguments.epochs, arguments.seeds) < 1:
        parser.error("--trials, --epochs and --seeds must be at least 1")
    trials, epochs, seeds = arguments.trials, arguments.epochs, arguments.seeds
    output = arguments.output
    if arguments.quick:
        trials, epochs, seeds, output = 4, 2, 2, output / "quick"
    tuned = search(trials, epochs, output)
    compare(tuned, epochs, seeds)


if __name__ == "__main__":
    main()
