"""Pictures of the default rule base, and of what it did in a training on MNIST.

Trains the quickstart's network for a few epochs with `FuzzyHessMonitor` and draws the
terms, the control surface with the training's path over it, the decisions and how
strongly each rule fired.

    python examples/rule_base_pictures.py [--epochs 4] [--seed 0] [--output results]
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
from quickstart import BATCH_SIZE, build_network, load_digits

from keras_fuzzyhess import FuzzyHess, FuzzyHessMonitor, plots
from keras_fuzzyhess.fuzzy import default_rule_base

matplotlib.use("Agg")  # no display needed


def train(epochs, seed):
    """The history of a training that knows how long it is going to be."""
    keras.utils.set_random_seed(seed)
    model = build_network()
    model.compile(optimizer=FuzzyHess(), loss="sparse_categorical_crossentropy")
    monitor = FuzzyHessMonitor(every=1, set_total_steps=True)
    training, _ = load_digits()
    model.fit(*training, batch_size=BATCH_SIZE, epochs=epochs, callbacks=[monitor])
    return monitor.history


def draw(rule_base, history, output):
    """Writes the four pictures; returns their paths."""
    pictures = {
        "memberships": plots.plot_memberships(rule_base)[0, 0],
        "surface": plots.plot_surface(rule_base, history)[0],
        "decisions": plots.plot_history(history)[0],
        "rule_activity": plots.plot_rule_activity(rule_base, history),
    }
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, axes in pictures.items():
        paths.append(output / f"{name}.png")
        axes.figure.savefig(paths[-1], dpi=80)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        parser.error("--epochs must be at least 1")
    history = train(arguments.epochs, arguments.seed)
    for path in draw(default_rule_base(), history, arguments.output):
        print(path.resolve())


if __name__ == "__main__":
    main()
