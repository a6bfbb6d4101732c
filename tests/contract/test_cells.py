"""Every mode in every situation holds the contract, or refuses."""

import pytest

# Each registers its situations.
from tests.contract import (  # noqa: F401
    architectures,
    arguments,
    execution,
    persistence,
    refusals,
)
from tests.contract.modes import MODES
from tests.contract.table import SITUATIONS


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_cell(mode, situation, record_property):
    row = SITUATIONS[situation]
    record_property("cell", (mode, row.title))
    error = row.check(MODES[mode])
    record_property("error", error)
    assert (error is not None) == row.refused
