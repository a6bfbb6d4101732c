"""What `make test` runs: all but what is marked slow, which `make test-slow` runs.

Slow is what takes more than a few seconds where something quicker tells much the same,
and in tables of arguments all cells but those that have each value once.
"""

import itertools
from collections.abc import Iterable

import pytest


def cells(**values: Iterable) -> list:
    """All combinations of the arguments' values, as parameters, most of them slow.

    As many as the longest argument has values are fast: the first values of all
    together, the second ones, and so on, with the shorter arguments from the beginning
    again. So a table has a fast cell in each row, and in each column too.
    """
    columns = [list(each) for each in values.values()]
    fast = {
        tuple(k % len(column) for column in columns)
        for k in range(max(map(len, columns)))
    }
    return [
        pytest.param(
            *(column[i] for column, i in zip(columns, places, strict=True)),
            marks=[] if places in fast else [pytest.mark.slow],
        )
        for places in itertools.product(*(range(len(column)) for column in columns))
    ]


def each_value_fast(**values: Iterable) -> pytest.MarkDecorator:
    """Parametrizes a test with `cells`."""
    return pytest.mark.parametrize(tuple(values), cells(**values))


def first_fast(**values: Iterable) -> pytest.MarkDecorator:
    """Parametrizes a test with the values of one argument, all but the first slow.

    Where it stands more than once, the first values of all are the one fast cell.
    """
    ((name, first),) = values.items()
    first, *others = first
    slow = [pytest.param(value, marks=pytest.mark.slow) for value in others]
    return pytest.mark.parametrize(name, [first, *slow])


def is_fast(cell) -> bool:
    """Whether a parameter is not marked slow."""
    return pytest.mark.slow not in cell.marks
