"""Arms that exercise, as a smartwatch feels them; seglearn ships the recordings.

It reads its own file as a pickle, which is to be trusted as much as its code.
"""

import functools

import numpy as np

from benchmarks.workload import Data

WINDOW = 48
"""Times of a series, 25 in a second."""

HELD_BACK = (9, 10)
"""Persons of whom nothing is trained on."""


@functools.cache
def movements() -> Data:
    """Series of six sensors in windows; the target is the exercise, 0 to 6."""
    from seglearn.datasets import load_watch

    recorded = load_watch()
    random = np.random.default_rng(0)
    sides: dict[bool, list] = {False: [], True: []}
    for series, exercise, person in zip(
        recorded["X"], recorded["y"], recorded["subject"], strict=True
    ):
        slower = series[: len(series) // 2 * 2].reshape(-1, 2, 6).mean(axis=1)
        starts = range(0, len(slower) - WINDOW + 1, WINDOW // 2)
        sides[person in HELD_BACK] += [
            (slower[s : s + WINDOW], exercise) for s in starts
        ]
    arrays = []
    for pairs in sides.values():
        order = random.permutation(len(pairs))
        arrays.append(np.stack([pairs[i][0] for i in order]).astype("float32"))
        arrays.append(np.array([pairs[i][1] for i in order], "int32"))
    x, y, x_held_back, y_held_back = arrays
    mean, scale = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    return Data((x - mean) / scale, y, (x_held_back - mean) / scale, y_held_back)
