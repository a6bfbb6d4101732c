"""The optimizers take the steps that they took when these were recorded."""

import numpy as np
import pytest

from tests.golden.trajectories import NETWORKS, OPTIMIZERS, recorded, trajectory

SHARE = 1e-3
"""Of the way from the start: on other processors sums are rounded in other orders, and
thirty steps take that further."""


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_takes_the_recorded_steps(optimizer, network):
    golden = recorded()
    key = f"{optimizer}, {network}, "
    start = golden[key + "start"]
    way = np.abs(golden[key + "end"] - start).max()
    for name, values in trajectory(optimizer, network).items():
        expected = golden[key + name]
        if name.startswith("diagnostics"):
            np.testing.assert_allclose(values, expected, rtol=1e-2, atol=1e-3)
        else:
            np.testing.assert_allclose(values, expected, atol=SHARE * way)
