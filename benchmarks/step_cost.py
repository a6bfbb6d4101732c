"""Time of a training step of FuzzyHess and SALO as a multiple of Adam's.

The quickstart's network and minibatch. Each round times a block of steps of every
optimizer, in turn; the figure is the median over rounds of the ratio within a round, so
that a machine that slows down for a while does not favour one of them.

    python benchmarks/step_cost.py [--rounds 15] [--jit-compile]
"""

import argparse
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

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import quickstart

STEPS = 60  # a multiple of the probe interval

OPTIMIZERS = {
    "Adam": keras.optimizers.Adam,
    "FuzzyHess": FuzzyHess,
    "FuzzyHess, curvature_power=0": lambda: FuzzyHess(curvature_power=0.0),
    "SALO": FuzzyHess.salo,
}


def compiled_step(optimizer, jit_compile):
    """A traced training step, past its first steps with their additional probes."""
    keras.utils.set_random_seed(0)
    model = quickstart.build_network()
    loss_fn = keras.losses.SparseCategoricalCrossentropy()

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(loss_fn(y, model(x, training=True)))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jit-compile", action="store_true")
    arguments = parser.parse_args()
    (x, y), _ = quickstart.load_digits()
    batch = [tf.constant(a[: quickstart.BATCH_SIZE]) for a in (x, y)]
    steps, seconds = {}, {name: [] for name in OPTIMIZERS}
    for name, make in OPTIMIZERS.items():
        steps[name] = compiled_step(make(), arguments.jit_compile)
        for _ in range(10):
            steps[name](*batch)
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step(*batch)
            seconds[name].append((time.perf_counter() - start) / STEPS)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"XLA {arguments.jit_compile}, {arguments.rounds} rounds of {STEPS} steps"
    )
    adam = np.array(seconds["Adam"])
    for name, values in seconds.items():
        low, middle, high = np.quantile(np.array(values) / adam, [0.25, 0.5, 0.75])
        print(
            f"{name:<30}{1e3 * np.median(values):7.2f} ms  "
            f"{middle:.2f} x Adam (quartiles {low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
