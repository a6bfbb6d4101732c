"""The workloads, a file each; a new one is a file here and a line below."""

from benchmarks.workload import by_name
from benchmarks.workloads import (
    autoencoder,
    convolution,
    logistic,
    mnist_1d,
    perceptron,
    quadratic,
    recurrent,
    regression,
    residual,
    transformer,
    variational,
)

WORKLOADS = by_name(
    quadratic,
    logistic,
    perceptron,
    convolution,
    autoencoder,
    variational,
    mnist_1d,
    residual,
    regression,
    recurrent,
    transformer,
)
