"""When probes are taken."""

import math

import numpy as np
import pytest

from keras_fuzzyhess.measure.probe_schedule import (
    LENGTH_PROBE,
    ProbeSchedule,
)

every_interval = pytest.mark.parametrize("interval", [2, 3, 5, 10, 25])


def kinds(steps, interval, **constants):
    """Rows of booleans: curvature probes, probes at the average, of the length."""
    schedule = ProbeSchedule(interval, **constants)
    taken = [tuple(map(bool, schedule.due(t))) for t in range(steps)]
    return np.array(taken).T


@every_interval
def test_two_kinds_take_turns_and_none_meet(interval):
    is_curvature, is_average, is_length = kinds(300, interval)
    assert np.max(is_curvature + 0 + is_average + is_length) == 1
    assert np.flatnonzero(is_length).tolist() == [LENGTH_PROBE]
    later = slice(ProbeSchedule.early_curvature_probe + 1, None)
    order = is_curvature[later][(is_curvature | is_average)[later]]
    assert len(order) > 10
    assert np.all(order[1:] != order[:-1])


@every_interval
def test_curvature_is_measured_first_and_the_loss_once_there_is_an_average(interval):
    is_curvature, is_average, _ = kinds(2 * interval, interval)
    assert is_curvature[0]
    assert 1 < np.argmax(is_average) <= interval / 2 + 1


@every_interval
def test_probes_become_rarer_as_the_docstring_says(interval):
    taken = np.sum(kinds(1500, interval), axis=0)
    for steps in (100, 400, 1500):
        expected = (
            2
            * ProbeSchedule.thinning
            / interval
            * math.log1p(steps / ProbeSchedule.thinning)
        )
        # The first one, the early one, and parts of an interval.
        assert abs(np.sum(taken[:steps]) - expected) <= 3
    late = int(1e6)
    count = np.sum([ProbeSchedule(2).due(t) for t in range(late, late + 200)])
    assert count <= 1


@every_interval
def test_a_probe_is_due_where_the_phase_of_the_docstring_reaches_half_an_integer(
    interval,
):
    def half_phases(step):
        return math.floor(
            2
            * ProbeSchedule.thinning
            / interval
            * math.log1p(step / ProbeSchedule.thinning)
            + 1e-6
        )

    before = -1
    for step in [*range(200), 10**7, 2**31 - 1]:
        curvature, loss, _ = map(bool, ProbeSchedule(interval).due(step))
        if step >= 200:
            before = half_phases(step - 1)
        now = half_phases(step)
        assert loss == (now > before and now % 2 == 1)
        if step != ProbeSchedule.early_curvature_probe:
            assert curvature == (now > before and now % 2 == 0)
        before = now


def test_constants_say_how_rare_probes_become_and_when_the_early_one_is():
    curvature, loss, _ = kinds(1000, 10, thinning=1e5, early_curvature_probe=7)
    assert np.flatnonzero(curvature)[:4].tolist() == [0, 7, 11, 21]
    assert abs(np.sum(curvature) - 100) <= 3 and abs(np.sum(loss) - 100) <= 3
    rarer = np.sum(kinds(1000, 10, thinning=10.0))
    assert rarer == pytest.approx(2 * math.log1p(100), abs=3)
