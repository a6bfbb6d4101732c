"""Performance profiles, beside ones made by hand."""

import math

from benchmarks.profiles import profiles


def test_shares_of_three_workloads():
    """The best are 10, 20 and 30; factors of a are 1, 2, never, of b 1.5, 1, 1."""
    found = profiles(
        {"a": [10.0, 40.0, math.inf], "b": [15.0, 20.0, 30.0]}, (1.0, 1.5, 2.0, 4.0)
    )
    assert found == {
        "a": [1 / 3, 1 / 3, 2 / 3, 2 / 3],
        "b": [2 / 3, 1.0, 1.0, 1.0],
    }


def test_where_nobody_gets_there_nobody_counts():
    found = profiles({"a": [math.inf, 1.0], "b": [math.inf, 2.0]}, (1.0, 2.0))
    assert found == {"a": [0.5, 0.5], "b": [0.0, 0.5]}
