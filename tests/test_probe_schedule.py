"""When probes are taken."""

import pytest

from keras_fuzzyhess.probe_schedule import EARLY_CURVATURE_PROBES, probe_schedule


@pytest.mark.parametrize("interval", [2, 3, 5, 10, 25])
def test_two_kinds_take_turns_and_never_meet(interval):
    kinds = [tuple(map(bool, probe_schedule(t, interval))) for t in range(10, 210)]
    assert (True, True) not in kinds
    per_kind = 200 // interval
    for kind in ((True, False), (False, True)):
        assert abs(kinds.count(kind) - per_kind) <= 1


@pytest.mark.parametrize("interval", [2, 3, 5, 10, 25])
def test_curvature_is_measured_first_and_the_loss_once_there_is_an_average(interval):
    kinds = [tuple(map(bool, probe_schedule(t, interval))) for t in range(2 * interval)]
    assert kinds[0] == (True, False)
    first = next(t for t, (_, is_average) in enumerate(kinds) if is_average)
    assert first == interval // 2 >= 1
    early = [t for t in EARLY_CURVATURE_PROBES if t != first and t < interval]
    assert all(kinds[t] == (True, False) for t in early)
