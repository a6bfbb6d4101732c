"""What a step on several replicas sends: all-reduces and bytes, counted in its graph.

Traces one training step of the quickstart's network on two replicas and counts the
collective operations that every kind of step runs, and the numbers that they sum: so
many per weight, and so many more. The bytes are then told for EfficientNet-B3 in
float32, and what each accelerator sends by a ring of 8 and of 256, which is
`2 (N - 1) / N` times the bytes that are summed.

    python benchmarks/replica_cost.py
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.cond_v2 import get_func_graphs

from keras_fuzzyhess import SALO, FuzzyHess

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import quickstart

REPLICAS = 2
# Of `probe_interval` steps one takes a loss probe, and one a curvature probe where the
# direction measures curvature. The length probe is one for all steps.
INTERVAL = 10


def trace(make_optimizer, strategy):
    """The graph of one step on all replicas, and the number of weights."""
    with strategy.scope():
        model = quickstart.build_network()
        model.compile(make_optimizer(), "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        strategy.run(model.train_step, args=((x, y),))

    x, y = tf.TensorSpec((8, 28, 28, 1)), tf.TensorSpec((8,), tf.int32)
    return step.get_concrete_function(x, y).graph, count(model)


def count(model):
    return sum(v.shape.num_elements() for v in model.trainable_variables)


def summed(graph):
    """Numbers that each collective operation of a graph sums, branches left out."""
    return [
        op.inputs[0].shape.num_elements()
        for op in graph.get_operations()
        if op.type.startswith("CollectiveReduce") and "CPU:0" in op.device
    ]


def summing_branches(graph):
    """The two branches of the `tf.cond` of a graph in which something is summed.

    There are others in which nothing is, such as those around the random signs.
    """
    for op in graph.get_operations():
        if op.type in ("If", "StatelessIf"):
            pair = get_func_graphs(op)
            if any(summed(branch) or summing_branches(branch) for branch in pair):
                return pair
    return None


def kinds_of_step(graph):
    """Name of the kind of step -> sizes of its all-reduces, and its share of steps."""
    always = summed(graph)
    probe = summing_branches(graph)
    if probe is None:
        return {"every step": (always, 1.0)}
    probe, _ = probe
    in_probe = always + summed(probe)
    kinds = summing_branches(probe)
    if kinds is None:  # SALO probes in every step, and there is one kind
        return {"every step": (in_probe, 1.0)}
    of_curvature = {}
    if rest := summing_branches(kinds[1]):
        of_curvature["curvature probe"] = (in_probe + summed(kinds[0]), 1 / INTERVAL)
        kinds = rest
    length, loss = map(summed, kinds)
    return {
        "plain step": (always, 1 - (1 + len(of_curvature)) / INTERVAL),
        "length probe, once": (in_probe + length, 0.0),
        **of_curvature,
        "loss probe": (in_probe + loss, 1 / INTERVAL),
    }


def main():
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
    )
    cpus = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(cpus)
    efficientnet = count(keras.applications.EfficientNetB3(weights=None))
    print(f"EfficientNet-B3: {efficientnet:,} weights, {4e-6 * efficientnet:.1f} MB")
    print(
        f"{'':<42}{'all-reduces':>12}{'per weight':>12}{'and':>6}{'B3, MB':>9}"
        f"{'ring of 8':>11}{'of 256':>9}"
    )
    for name, make in {
        "Adam": keras.optimizers.Adam,
        "FuzzyHess": lambda: FuzzyHess(probe_interval=INTERVAL),
        "FuzzyHess, orthogonal": lambda: FuzzyHess(
            direction="orthogonal", probe_interval=INTERVAL
        ),
        "SALO": SALO,
    }.items():
        graph, weights = trace(make, strategy)
        rows, mean = [], np.zeros(3)
        for kind, (sizes, share) in kinds_of_step(graph).items():
            row = np.array([len(sizes), *divmod(sum(sizes), weights)])
            mean += share * row
            rows.append((kind, row))
        for kind, row in [*rows, ("mean", mean)] if len(rows) > 1 else rows:
            all_reduces, per_weight, more = row
            megabytes = 4e-6 * (per_weight * efficientnet + more)
            sent = [megabytes * 2 * (n - 1) / n for n in (8, 256)]
            print(
                f"{name + ', ' + kind:<42}{all_reduces:>12.1f}{per_weight:>12.1f}"
                f"{more:>6.1f}{megabytes:>9.1f}{sent[0]:>11.1f}{sent[1]:>9.1f}"
            )


if __name__ == "__main__":
    main()
