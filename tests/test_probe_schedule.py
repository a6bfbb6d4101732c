"""When probes are taken."""

import pytest

from keras_fuzzyhess.probe_schedule import probe_schedule


@pytest.mark.parametrize("interval", [2, 3, 5, 10, 25])
def test_two_kinds_take_turns_and_never_meet(interval):
    kinds = [tuple(map(bool, probe_schedule(t, interval))) for t in range(10, 210)]
    assert (True, True) not in kinds
    per_kind = 200 // interval
    for kind in ((True, False), (False, True)):
        assert abs(kinds.count(kind) - per_kind) <= 1


def test_first_steps_measure_before_they_move():
    assert bool(probe_schedule(0, 10)[0]), "curvature first"
    assert bool(probe_schedule(1, 10)[1]), "then length"
