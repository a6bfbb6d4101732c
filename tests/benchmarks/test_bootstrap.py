"""Intervals of medians, beside ones that can be told by hand."""

import math

import numpy as np
import pytest

from benchmarks import bootstrap


def test_medians_are_over_seeds_and_then_over_workloads():
    values = [np.array([1.0, 9.0, 2.0]), np.array([4.0]), np.array([7.0, 5.0])]
    assert bootstrap.median_of_medians(values) == 4.0


def test_without_spread_there_is_no_interval():
    values = [np.full(5, 0.5)] * 3
    assert bootstrap.interval(values) == (0.5, 0.5)


def test_of_two_workloads_half_of_the_resamples_are_one_of_them():
    """Drawn are 0 and 0, 0 and 1, 1 and 0, or 1 and 1: medians 0, 0.5, 0.5 and 1."""
    values = [np.zeros(3), np.ones(3)]
    assert bootstrap.interval(values, 0.4) == (0.5, 0.5)
    assert bootstrap.interval(values, 0.6) == (0.0, 1.0)


def test_seeds_are_drawn_too():
    """Of two seeds, 0 and 1, medians are 0, 0.5, 0.5 and 1 once more."""
    values = [np.array([0.0, 1.0])]
    assert bootstrap.interval(values, 0.4) == (0.5, 0.5)
    assert bootstrap.interval(values, 0.6) == (0.0, 1.0)


def test_what_was_never_reached_is_infinite():
    low, high = bootstrap.interval([np.array([0.5]), np.array([math.inf])], 0.9)
    assert (low, high) == (0.5, math.inf)


def test_of_many_it_is_that_of_the_normal_distribution():
    """About 1.96 standard errors of a median: 1.2533 of a mean's, for a normal."""
    random = np.random.default_rng(0)
    values = list(random.normal(size=(100, 1)))
    low, high = bootstrap.interval(values, resamples=1_000)
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 / 10, rel=0.25)
