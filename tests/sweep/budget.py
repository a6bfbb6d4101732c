"""How much of the sweep is run: a sample in the suite, all of it by `make sweep`."""

import os

WHOLE = os.environ.get("SWEEP") == "whole"


def sample(cells: list, few: int) -> list:
    """Every cell by `make sweep`, else `few` of them, spread over the list.

    The stride is odd, so that the few differ in the dimensions with two values too.
    """
    if WHOLE or len(cells) <= few:
        return cells
    stride = len(cells) // few | 1
    return cells[::stride][:few]
