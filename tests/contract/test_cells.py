"""Every mode in every situation holds the contract, or refuses."""

from pathlib import Path

import pytest

from tests.contract import table
from tests.contract.modes import MODES
from tests.contract.table import SITUATIONS
from tests.helpers.fast import cells

CELLS = cells(mode=MODES, situation=SITUATIONS)


@pytest.mark.parametrize(("mode", "situation"), CELLS)
def test_cell(mode, situation, record_property):
    record_property("cell", (mode, situation))
    error = SITUATIONS[situation].check(MODES[mode])
    record_property("error", error)
    assert (error is not None) == (mode in SITUATIONS[situation].refused)


def test_documented_table_has_every_cell():
    page = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
    documented = page.read_text().splitlines()
    for situation in SITUATIONS.values():
        marks = [
            table.REFUSED if mode in situation.refused else table.HOLDS
            for mode in MODES
        ]
        assert table.row(situation.title, marks) in documented
