"""Every mode in every situation holds the contract, or refuses."""

from pathlib import Path

import pytest

from tests.contract import table
from tests.contract.modes import MODES
from tests.contract.table import SITUATIONS
from tests.fast import is_fast, one_of_each_row

CELLS = one_of_each_row(SITUATIONS, MODES)


@pytest.mark.parametrize(("situation", "mode"), CELLS)
def test_cell(situation, mode, record_property):
    record_property("cell", (mode, situation))
    error = SITUATIONS[situation].check(MODES[mode])
    record_property("error", error)
    assert (error is not None) == (mode in SITUATIONS[situation].refused)


def test_every_row_has_one_fast_cell_and_every_mode_some():
    cells = [(situation, mode) for mode in MODES for situation in SITUATIONS]
    assert [cell.values for cell in CELLS] == cells
    fast = [cell.values for cell in CELLS if is_fast(cell)]
    assert sorted(situation for situation, _ in fast) == sorted(SITUATIONS)
    assert {mode for _, mode in fast} == set(MODES)


def test_documented_table_has_every_cell():
    page = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
    documented = page.read_text().splitlines()
    for situation in SITUATIONS.values():
        marks = [
            table.REFUSED if mode in situation.refused else table.HOLDS
            for mode in MODES
        ]
        assert table.row(situation.title, marks) in documented
