"""Performance profiles: who is within a factor of the best, on how many workloads.

After Dahl et al. (arXiv 2306.07179), with gradients in place of seconds.
"""

import math
from collections.abc import Mapping, Sequence

FACTORS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
"""Multiples of the best's gradients."""


def profiles(
    gradients: Mapping[str, Sequence[float]], factors: Sequence[float] = FACTORS
) -> dict[str, list[float]]:
    """For each contestant and factor, the share of workloads within it.

    Args:
        gradients: Gradients to the target of each contestant, an element for each
            workload, the same for all; infinite where it is never reached.
        factors: Multiples of the least gradients of all contestants on a workload.
    """
    best = [min(column) for column in zip(*gradients.values(), strict=True)]
    return {
        name: [
            sum(
                math.isfinite(mine) and mine <= factor * least
                for mine, least in zip(row, best, strict=True)
            )
            / len(best)
            for factor in factors
        ]
        for name, row in gradients.items()
    }
