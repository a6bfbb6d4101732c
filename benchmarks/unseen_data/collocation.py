"""Points of time and place at which an equation is to hold."""

import functools

import numpy as np

from benchmarks.workload import Data


@functools.cache
def points() -> Data:
    """20,000 points, times in [0, 1] and places in [-1, 1]; the target is zero."""
    x = np.random.default_rng(0).uniform([0, -1], [1, 1], (20_000, 2))
    return Data.split(
        x.astype("float32"), np.zeros((len(x), 1), "float32"), held_back=2_000
    )
