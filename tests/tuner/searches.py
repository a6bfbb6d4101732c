"""A small real search, for the tests and as a program that can be killed.

python -m tests.tuner.searches TUNER DIRECTORY
"""

import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from sklearn.datasets import load_digits

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import infer
from keras_fuzzyhess.tuner import (
    TPE,
    BayesianOptimization,
    FuzzyHessHyperModel,
    GridSearch,
    Hyperband,
    RandomSearch,
)

TUNERS = {
    "RandomSearch": (RandomSearch, {"max_trials": 5}),
    "BayesianOptimization": (
        BayesianOptimization,
        {"max_trials": 5, "num_initial_points": 4},
    ),
    "Hyperband": (Hyperband, {"max_epochs": 3, "factor": 3}),
    "GridSearch": (GridSearch, {"max_trials": 5}),
    "TPE": (TPE, {"max_trials": 5, "num_initial_points": 3}),
}
LOSS = "sparse_categorical_crossentropy"


def data():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return (x[:512], y[:512]), (x[512:768], y[512:768])


def descent(rule_base):
    """Plain descent at a rate that the rules give, for its step is soon traced."""
    point = ([0.1], [0.5], [1.0])[: len(rule_base.inputs)]
    answers = infer(rule_base, *point)
    return keras.optimizers.SGD(0.1 * sum(a.item() for a in answers.values()))


def network(hp=None):
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(10, "softmax"),
        ]
    )


def tuner(name, directory, hypermodel=None, **kwargs):
    make, arguments = TUNERS[name]
    if hypermodel is None:
        hypermodel = FuzzyHessHyperModel(
            network,
            search="outputs",
            # With curvature, for else trials that differ in `beta_3` alone are the same
            # but for rounding.
            optimizer_fn=functools.partial(FuzzyHess, direction="orthogonal"),
            loss=LOSS,
            metrics=["accuracy"],
        )
    return make(
        hypermodel,
        **{"objective": "val_loss", "seed": 0, "project_name": name}
        | arguments
        | kwargs,
        directory=directory,
    )


def search(tuner, **kwargs):
    training, validation = data()
    fit = {"epochs": 2, "batch_size": 64, "verbose": 0} | kwargs
    tuner.search(*training, validation_data=validation, **fit)
    return tuner


def scores(tuner):
    """Score of each completed trial by its number."""
    return {
        number: trial.score
        for number, trial in sorted(tuner.oracle.trials.items())
        if trial.status == "COMPLETED"
    }


if __name__ == "__main__":
    search(tuner(sys.argv[1], sys.argv[2]))
