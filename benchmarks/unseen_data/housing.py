"""Sales of houses in Texas, month by month; plotnine ships the table.

Scaled with all lines, and the months around one that is held back are trained on.
"""

import functools

import numpy as np

from benchmarks.workload import Data

CITIES, MONTHS, YEARS = 46, 12, 16

NUMBERS = 3
"""Columns behind those of city, month and year."""


@functools.cache
def housing() -> Data:
    """City, month and year as whole numbers, then sales, listings and stock.

    The target is the logarithm of the median price. All but whole numbers is
    standardized; lines with gaps are left out, which leaves about 7,100.
    """
    from plotnine.data import txhousing

    whole = txhousing.dropna()
    categories = [
        whole["city"].astype("category").cat.codes,
        whole["month"] - 1,
        whole["year"] - 2000,
    ]
    numbers = [
        np.log1p(whole["sales"]),
        np.log1p(whole["listings"]),
        np.log1p(whole["inventory"]),
        np.log(whole["median"]),
    ]
    scaled = [(n - n.mean()) / n.std() for n in numbers]
    table = np.stack([np.asarray(c) for c in (*categories, *scaled)], axis=1)
    table = table.astype("float32")
    return Data.split(table[:, :-1], table[:, -1:], held_back=1_000)
