"""Bounds of a median over workloads, by drawing seeds and workloads again."""

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def median_of_medians(values: Sequence[np.ndarray]) -> float:
    """Median over workloads of the median over seeds."""
    return float(np.median([np.median(seeds) for seeds in values]))


def interval(
    values: Sequence[np.ndarray], confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Bounds of the median over workloads of the median over seeds.

    Workloads are drawn with replacement, then seeds of each one drawn, always in the
    same way. Infinite values, of what was never reached, are larger than all others.

    Args:
        values: An array for each workload, an element for each seed.
        confidence: Share of the resamples between the bounds.
        resamples: How many are drawn.
    """
    random = np.random.default_rng(0)
    count = len(values)
    lines = np.arange(resamples)
    medians = np.empty((resamples, count))
    for place in range(count):
        drawn = np.stack(
            [
                np.median(
                    seeds[random.integers(len(seeds), size=(resamples, len(seeds)))], 1
                )
                for seeds in values
            ]
        )
        medians[:, place] = drawn[random.integers(count, size=resamples), lines]
    # Interpolation between infinite values would be no number.
    low, high = np.quantile(
        np.median(medians, axis=1),
        [(1 - confidence) / 2, (1 + confidence) / 2],
        method="inverted_cdf",
    )
    return float(low), float(high)
