"""Learns a rule base on four small workloads and measures it on two unseen ones.

The search minimizes the geometric mean of the held-back losses relative to the default
rule base, after equally many gradients. Then default and tuned rules train two networks
that had no part in the search, with other seeds, and their training and validation
losses are compared. A search that was stopped goes on when the command is given again.

    python examples/learn_rules.py [--trials 60] [--seeds 5] [--output results/learned]
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
import quickstart
from keras import layers
from sklearn.datasets import load_diabetes, load_digits

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.tuner import (
    TPE,
    Workload,
    WorkloadsHyperModel,
    best_rule_base,
    export,
)

matplotlib.use("Agg")  # no display needed

CROSS_ENTROPY = "sparse_categorical_crossentropy"


def digits():
    """1,797 digits of 8 by 8 from scikit-learn: 1,400 for training, 397 held back."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x[order] / 16).astype("float32").reshape(-1, 8, 8)
    return (x[:1400], y[order][:1400]), (x[1400:], y[order][1400:])


def diabetes():
    """342 patients for training, 100 held back: much noise, and a number to tell."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x[order] / x.std()).astype("float32")
    y = ((y[order] - y.mean()) / y.std()).astype("float32")
    return (x[:342], y[:342]), (x[342:], y[342:])


def regression():
    return keras.Sequential(
        [layers.Input((10,)), layers.Dense(32, "tanh"), layers.Dense(1)]
    )


def perceptron():
    return keras.Sequential(
        [
            layers.Input((8, 8)),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(32, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )


def small_convolution():
    return keras.Sequential(
        [
            layers.Input((8, 8)),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ]
    )


def autoencoder():
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(64, "tanh"),
            layers.Dense(16, "tanh"),
            layers.Dense(64, "tanh"),
            layers.Dense(784, "sigmoid"),
            layers.Reshape((28, 28, 1)),
        ]
    )


def mnist_convolution():
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, "softmax"),
        ]
    )


def recurrent():
    """Reads a digit row by row."""
    return keras.Sequential(
        [layers.Input((8, 8)), layers.GRU(32), layers.Dense(10, "softmax")]
    )


def search_workloads():
    """What is held back here is part of what `unseen` trains on, and nothing else."""
    (x, y), _ = digits()
    told_apart = (x[:1000], y[:1000]), (x[1000:], y[1000:])
    (pixels, _), _ = quickstart.load_digits()
    reconstructed = (pixels[:2000],) * 2, (pixels[2000:3000],) * 2

    def workload(name, build, loss, data):
        training, held_back = data
        return Workload(name, build, loss, *training, 64, 12, held_back)

    return [
        workload("perceptron", perceptron, CROSS_ENTROPY, told_apart),
        workload("convolution", small_convolution, CROSS_ENTROPY, told_apart),
        workload("autoencoder", autoencoder, "mse", reconstructed),
        workload("regression", regression, "mse", diabetes()),
    ]


def unseen():
    """Name, network, training and held-back data, epochs."""
    return [
        ("mnist_convolution", mnist_convolution, *quickstart.load_digits(), 8),
        ("recurrent", recurrent, *digits(), 25),
    ]


def losses(build, training, held_back, epochs, rule_base, seed):
    """Training and held-back loss of a new network."""
    keras.utils.set_random_seed(seed)
    model = build()
    model.compile(optimizer=FuzzyHess(rule_base=rule_base), loss=CROSS_ENTROPY)
    model.fit(*training, batch_size=64, epochs=epochs, verbose=0)
    return [model.evaluate(*data, verbose=0) for data in (training, held_back)]


def measure(tuned, seeds):
    print(f"\n{'workload':<20}{'seed':>5}{'loss: default':>15}{'tuned':>10}", end="")
    print(f"{'held back: default':>21}{'tuned':>10}")
    for name, build, training, held_back, epochs in unseen():
        ratios = []
        for seed in range(100, 100 + seeds):
            before = losses(
                build, training, held_back, epochs, default_rule_base(), seed
            )
            after = losses(build, training, held_back, epochs, tuned, seed)
            ratios.append([a / b for a, b in zip(after, before, strict=True)])
            print(f"{name:<20}{seed:>5}{before[0]:>15.5f}{after[0]:>10.5f}", end="")
            print(f"{before[1]:>21.5f}{after[1]:>10.5f}", flush=True)
        for label, column in zip(
            ("training", "held back"), np.transpose(ratios), strict=True
        ):
            print(
                f"{name}, {label} loss, tuned / default: geometric mean "
                f"{np.exp(np.mean(np.log(column))):.3f}, "
                f"{column.min():.3f} to {column.max():.3f}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5, help="of the comparison")
    parser.add_argument("--output", type=Path, default=Path("results/learned"))
    arguments = parser.parse_args()
    if arguments.trials < 1 or arguments.seeds < 1:
        parser.error("--trials and --seeds must be at least 1")
    tuner = TPE(
        WorkloadsHyperModel(search_workloads(), seeds=(0, 1)),
        max_trials=arguments.trials,
        seed=0,
        directory=arguments.output,
        project_name="search",
    )
    tuner.search(verbose=0)
    print(export(tuner, arguments.output))
    measure(best_rule_base(tuner), arguments.seeds)


if __name__ == "__main__":
    main()
