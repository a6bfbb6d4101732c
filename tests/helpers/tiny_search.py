"""A search of tiny networks, started by `examples/tune_distributed.py`.

It fails as its tests want it to: with a file `kill` in the output folder, the worker
that takes it away kills itself in the middle of a trial; with a file `fail`, every
trial after the first two raises.
"""

import argparse
import os
import signal
from pathlib import Path

import keras
import numpy as np

from keras_fuzzyhess.tuner import RandomSearch, clean_search


def build(hp):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    # To compile with XLA would take longer than a trial.
    model.compile(keras.optimizers.SGD(rate), loss="mse", jit_compile=False)
    return model


class TinySearch(RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        if int(trial.trial_id) >= 2 and (Path(self.project_dir) / "fail").exists():
            raise ValueError("made to fail")
        return super().run_trial(trial, *args, **kwargs)


class KillOnce(keras.callbacks.Callback):
    """Kills the process after an epoch, if it is the one to take away the file."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        try:
            self.path.rename(self.path.with_suffix(".done"))
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--trials", "--epochs", "--seed"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    tuner = TinySearch(
        build,
        objective="val_loss",
        max_trials=arguments.trials,
        seed=arguments.seed,
        directory=arguments.output.parent,
        project_name=arguments.output.name,
    )
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    clean_search(
        tuner,
        x,
        x.sum(axis=1),
        validation_split=0.25,
        epochs=arguments.epochs,
        callbacks=[KillOnce(arguments.output / "kill")],
        verbose=0,
    )


if __name__ == "__main__":
    main()
