"""Time of a step, of the first one, and peak memory on EfficientNet, beside Adam's.

Every optimizer trains in a process of its own, so that the process's peak memory is its
own, on one minibatch of noise; the processes take turns for some rounds. A figure is
the median over rounds of the ratio to Adam's in the same round.

    python benchmarks/efficientnet_cost.py [--model EfficientNetB0] [--image-size 96]
        [--batch-size 16] [--steps 20] [--rounds 3] [--jit-compile]
        [--optimizers FuzzyHess …]

For B3 as in the paper: --model EfficientNetB3 --image-size 300 --batch-size 8
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.training_step import compiled_step

OPTIMIZERS = {
    "Adam": keras.optimizers.Adam,
    "AdamW": keras.optimizers.AdamW,
    "SGD": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "FuzzyHess": FuzzyHess,
    "FuzzyHess, diagonal": functools.partial(FuzzyHess, direction="diagonal"),
    "FuzzyHess, orthogonal": functools.partial(FuzzyHess, direction="orthogonal"),
    "FuzzyHess, a probe every step": lambda: FuzzyHess(
        probe_interval=2, curvature_power=0.5
    ),
    "SALO": FuzzyHess.salo,
}
CLASSES = 1000


def measure(name, arguments):
    """What the first step and later ones take, and this process at most."""
    keras.utils.set_random_seed(0)
    shape = (arguments.image_size, arguments.image_size, 3)
    model = getattr(keras.applications, arguments.model)(
        weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None
    )
    optimizer = OPTIMIZERS[name]()
    optimizer.build(model.trainable_variables)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = compiled_step(model, optimizer, loss_fn, arguments.jit_compile)
    rng = np.random.default_rng(0)
    batch_shape = (arguments.batch_size, *shape)
    x = tf.constant(rng.uniform(0, 255, batch_shape).astype("float32"))
    y = tf.constant(rng.integers(0, CLASSES, arguments.batch_size))
    start = time.perf_counter()
    graph = step.get_concrete_function(x, y).graph.as_graph_def()
    trace = time.perf_counter() - start
    step(x, y).numpy()
    first = time.perf_counter() - start
    # Two additional probes are among the first ten.
    for _ in range(9):
        step(x, y)
    start = time.perf_counter()
    for _ in range(arguments.steps):
        loss = step(x, y)
    loss.numpy()
    branches = graph.library.function
    return {
        "first": first,
        "trace": trace,
        "nodes": len(graph.node) + sum(len(branch.node_def) for branch in branches),
        "step": (time.perf_counter() - start) / arguments.steps,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "state": sum(int(np.prod(v.shape)) for v in optimizer.variables)
        / model.count_params(),
    }


def measure_in_own_process(name):
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    # Its errors are shown; its result is the last line.
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="EfficientNetB0")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="a multiple of 10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jit-compile", action="store_true")
    parser.add_argument(
        "--optimizers",
        nargs="+",
        choices=OPTIMIZERS,
        default=list(OPTIMIZERS),
        help="besides Adam",
    )
    parser.add_argument("--only", choices=OPTIMIZERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps < 10 or arguments.steps % 10:
        parser.error("--steps must be a multiple of 10, the probe interval")
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments)))
        return
    print(
        f"{arguments.model} at {arguments.image_size}, batch {arguments.batch_size}, "
        f"{os.cpu_count()} cores, TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, XLA {arguments.jit_compile}, {arguments.rounds} rounds "
        f"of {arguments.steps} steps"
    )
    names = [name for name in OPTIMIZERS if name in {"Adam", *arguments.optimizers}]
    rounds = [
        {name: measure_in_own_process(name) for name in names}
        for _ in range(arguments.rounds)
    ]
    print(f"{'':<32}{'step s':>8}{'x Adam':>8}{'(range)':>16}", end="")
    print(f"{'memory GiB':>12}{'x Adam':>8}{'first s':>9}{'of it trace':>13}", end="")
    print(f"{'graph nodes':>13}{'state/weight':>14}")
    for name in names:
        times, memories = (
            [measured[name][what] / measured["Adam"][what] for measured in rounds]
            for what in ("step", "memory")
        )
        step, first, trace, nodes, memory, state = (
            np.median([measured[name][what] for measured in rounds])
            for what in ("step", "first", "trace", "nodes", "memory", "state")
        )
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:<32}{step:>8.3f}{np.median(times):>8.2f}{spread:>16}", end="")
        print(f"{memory:>12.2f}{np.median(memories):>8.2f}{first:>9.1f}", end="")
        print(f"{trace:>13.1f}{nodes:>13.0f}{state:>14.2f}")


if __name__ == "__main__":
    main()
