"""What is fast: a cell of each row and column; what is not has a command too."""

import itertools
from pathlib import Path

import pytest

from tests.contract.modes import MODES
from tests.contract.table import SITUATIONS
from tests.contract.test_cells import CELLS
from tests.helpers.fast import cells, first_fast, is_fast

TABLES = [
    {"a": "xyz", "b": [1, 2]},
    {"a": [True, False], "b": range(5), "c": "xyz"},
    {"a": "x", "b": "y"},
]


@pytest.mark.parametrize("table", TABLES)
def test_all_cells_are_there_and_each_value_is_fast(table):
    found = cells(**table)
    assert [cell.values for cell in found] == list(itertools.product(*table.values()))
    fast = [cell.values for cell in found if is_fast(cell)]
    assert len(fast) == max(map(len, table.values()))
    for values, chosen in zip(table.values(), zip(*fast, strict=True), strict=True):
        assert set(chosen) == set(values)


def test_the_first_value_alone_is_fast():
    name, (first, *others) = first_fast(a="xyz").args
    assert (name, first) == ("a", "x")
    assert [other.values for other in others] == [("y",), ("z",)]
    assert not any(map(is_fast, others))


def test_every_row_of_the_contract_has_one_fast_cell_and_every_mode_some():
    assert {cell.values for cell in CELLS} == set(itertools.product(MODES, SITUATIONS))
    fast = [cell.values for cell in CELLS if is_fast(cell)]
    assert sorted(situation for _, situation in fast) == sorted(SITUATIONS)
    assert {mode for mode, _ in fast} == set(MODES)


def test_the_two_commands_run_everything():
    lines = (Path(__file__).parent.parent / "Makefile").read_text().splitlines()
    runs = {
        target: lines[lines.index(f"{target}: .venv/ready") + 1]
        for target in ("test", "test-slow")
    }
    assert runs["test"].replace('"not slow"', "slow") == runs["test-slow"]
