"""The test set: workloads on which nothing is ever chosen; a file each.

Constants of FuzzyHess, and all else that it does, are chosen on `benchmarks.workloads`.
"""

from benchmarks.unseen import (
    burgers,
    dates,
    denoising,
    graphs,
    housing,
    lettering,
    movements,
    names,
    pendulum,
    verses,
    vision,
    words,
)
from benchmarks.workload import by_name

WORKLOADS = by_name(
    denoising,
    vision,
    lettering,
    movements,
    housing,
    verses,
    words,
    names,
    dates,
    graphs,
    burgers,
    pendulum,
)
