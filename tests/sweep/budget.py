"""How much of the sweep is run: a sample in the suite, all of it by `make sweep`."""

import os

import pytest

WHOLE = os.environ.get("SWEEP") == "whole"


def sample(cells: list, few: int) -> list:
    """Every cell by `make sweep`, else `few` of them, spread over the list.

    The stride is odd, so that the few differ in the dimensions with two values too.
    Every fifth one is fast, the first at least.
    """
    if WHOLE or len(cells) <= few:
        return cells
    stride = len(cells) // few | 1
    chosen = cells[::stride][:few]
    return [_slow(cell) if i % 5 else cell for i, cell in enumerate(chosen)]


def _slow(cell):
    values, id_ = (cell.values, cell.id) if hasattr(cell, "marks") else (cell, None)
    return pytest.param(*values, id=id_, marks=pytest.mark.slow)
