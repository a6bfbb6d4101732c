"""Time and state of a training step as multiples of Adam's, on three sizes of network.

Each round times a block of steps of every optimizer, in turn; the figure is the median
over rounds of the ratio within a round, so that a machine that slows down for a while
does not favour one of them. All have taken their first 50 steps, among them two
additional probes; later than here, probes of FuzzyHess become rarer.

    python benchmarks/step_cost.py [--rounds 15] [--jit-compile] [--sizes small …]
        [--optimizers FuzzyHess …]
"""

import argparse
import functools
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import quickstart

from benchmarks.training_step import compiled_step

STEPS = 50  # a multiple of every probe interval

OPTIMIZERS = {
    "Adam": keras.optimizers.Adam,
    "FuzzyHess": FuzzyHess,
    "FuzzyHess, diagonal": functools.partial(FuzzyHess, direction="diagonal"),
    "FuzzyHess, orthogonal": functools.partial(FuzzyHess, direction="orthogonal"),
    "FuzzyHess, probe_interval=2": functools.partial(FuzzyHess, probe_interval=2),
    "FuzzyHess, probe_interval=5": functools.partial(FuzzyHess, probe_interval=5),
    "FuzzyHess, probe_interval=25": functools.partial(FuzzyHess, probe_interval=25),
    "SALO": FuzzyHess.salo,
}


def perceptron():
    """About 100,000 weights, little arithmetic."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )


def wide_perceptron():
    """About six million weights."""
    layers = keras.layers
    hidden = [layers.Dense(1536, "relu") for _ in range(3)]
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            *hidden,
            layers.Dense(10, "softmax"),
        ]
    )


SIZES = {
    "small": perceptron,
    "medium": quickstart.build_network,
    "large": wide_perceptron,
}


def new_step(size, optimizer, jit_compile):
    """A training step of a new network, not traced yet."""
    keras.utils.set_random_seed(0)
    loss_fn = keras.losses.SparseCategoricalCrossentropy()
    return compiled_step(SIZES[size](), optimizer, loss_fn, jit_compile)


def timed(step, batch, steps):
    """Seconds a step takes."""
    start = time.perf_counter()
    for _ in range(steps):
        step(*batch)
    return (time.perf_counter() - start) / steps


def measure(size, rounds, jit_compile, optimizers):
    """Prints a line for each of the optimizers, by name, and for Adam."""
    made = {n: make for n, make in OPTIMIZERS.items() if n in {"Adam", *optimizers}}
    (x, y), _ = quickstart.load_digits()
    batch = [tf.constant(a[: quickstart.BATCH_SIZE]) for a in (x, y)]
    steps, first, state, seconds = {}, {}, {}, {name: [] for name in made}
    for name, make in made.items():
        optimizer = make()
        steps[name] = new_step(size, optimizer, jit_compile)
        first[name] = timed(steps[name], batch, 1)
        state[name] = sum(v.numpy().size for v in optimizer.variables)
        timed(steps[name], batch, STEPS - 1)
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(timed(step, batch, STEPS))
    adam = np.array(seconds["Adam"])
    for name, values in seconds.items():
        low, middle, high = np.quantile(np.array(values) / adam, [0.25, 0.5, 0.75])
        print(
            f"{size:<8}{name:<30}{1e3 * np.median(values):7.2f} ms  "
            f"{middle:.2f} x Adam (quartiles {low:.2f} to {high:.2f}), "
            f"first step {first[name]:.1f} s, {first[name] / first['Adam']:.1f} x, "
            f"state {state[name] / state['Adam']:.2f} x",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jit-compile", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS)
    )
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"XLA {arguments.jit_compile}, {arguments.rounds} rounds of {STEPS} steps"
    )
    for size in arguments.sizes:
        measure(size, arguments.rounds, arguments.jit_compile, arguments.optimizers)


if __name__ == "__main__":
    main()
