"""What `make test` runs: all but what is marked slow, which `make test-slow` runs.

Marked slow is what takes more than a few seconds where something quicker tells the same,
and of every large table all but one cell of each row.
"""

from collections.abc import Iterable

import pytest


def one_of_each_row(rows: Iterable[str], columns: Iterable[str]) -> list:
    """All cells of a table as parameters `(row, column)`, column by column.

    One cell of each row is fast, and the others are slow. It stands one column further
    than in the row before, so that every column has fast cells too.
    """
    rows, columns = list(rows), list(columns)
    return [
        pytest.param(
            row,
            column,
            id=f"{column}-{row}",
            marks=[] if i % len(columns) == j else [pytest.mark.slow],
        )
        for j, column in enumerate(columns)
        for i, row in enumerate(rows)
    ]


def is_fast(cell) -> bool:
    """Whether a parameter is not marked slow."""
    return pytest.mark.slow not in cell.marks
