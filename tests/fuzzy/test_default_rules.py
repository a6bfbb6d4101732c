"""What the rule bases that come with the optimizer say."""

import numpy as np
import pytest

from keras_fuzzyhess.fuzzy import (
    control_surface,
    default_rule_base,
    infer,
    paper_rule_base,
)
from keras_fuzzyhess.fuzzy.default_rules import (
    CLEAR_TREND,
    FALLING,
    FLAT,
    GAIN_RATES,
    KEPT,
    RISING,
    STALLED,
)
from tests.helpers.rule_bases import without_loss_fall

TRENDS = {
    "gain_rate": {"rising": RISING, "flat": FLAT, "falling": FALLING},
    "gain": {"rising": -CLEAR_TREND, "flat": 0.0, "falling": CLEAR_TREND},
}
STAGES = {"early": 0.0, "middle": 0.5, "late": 1.0}
GRID = np.linspace(-1, 1, 201), np.linspace(0, 1, 51), np.linspace(-1, 1, 65)
"""Values of `loss_trend`, `progress` and `loss_fall`; breakpoints are among them."""


def kept(rule_base, trend, progress):
    """What it says where the loss falls as the trend promises, if it asks for that."""
    falls = [[1.0]] * (len(rule_base.inputs) - 2)
    outputs = infer(rule_base, trend, progress, *falls)
    return {name: values.reshape(3, 3) for name, values in outputs.items()}


@pytest.mark.parametrize("make, count", [(default_rule_base, 12), (paper_rule_base, 9)])
def test_every_cell_has_one_rule_with_a_reason(make, count):
    rules = make().rules
    cells = {tuple(sorted(rule.antecedent.values())) for rule in rules}
    assert len(rules) == len(cells) == count
    for rule in rules:
        assert rule.weight == 1.0
        assert rule.why.endswith(".")
        assert rule.why.count(". ") == 0


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
def test_output_sets_are_symmetric_triangles_of_one_width(make):
    for output in make().outputs:
        widths = set()
        for term in output.terms:
            a, b, c, d = output.corners(term.name)
            assert b == c
            assert b - a == pytest.approx(d - c)
            assert output.low <= a
            assert d <= output.high
            widths.add(round(d - a, 9))
        assert len(widths) == 1


def expected_peaks(gain):
    return {
        "gain_rate": {
            "rising": [GAIN_RATES["cut"]] * 3,
            "flat": [0.0] * 3,
            "falling": [GAIN_RATES["raise"]] * 3,
        },
        "gain": {
            "rising": [0.3, 0.1, 0.1],
            "flat": [0.5, 0.3, 0.1],
            "falling": [1.0, 0.5, 0.3],
        },
    }[gain]


@pytest.mark.parametrize(
    "make, gain, betas",
    [
        (default_rule_base, "gain_rate", (0.8, 0.9, 0.95)),
        (paper_rule_base, "gain", (0.9, 0.95, 0.99)),
    ],
)
def test_the_centroid_reaches_the_peaks(make, gain, betas):
    outputs = kept(make(), list(TRENDS[gain].values()), list(STAGES.values()))
    for row, trend in enumerate(TRENDS[gain]):
        np.testing.assert_allclose(
            outputs[gain][row], expected_peaks(gain)[trend], atol=1e-12
        )
    short, medium, long = betas
    np.testing.assert_allclose(
        outputs["beta_3"],
        [[short, short, medium], [short, medium, long], [short, long, long]],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "make, gain", [(default_rule_base, "gain_rate"), (paper_rule_base, "gain")]
)
def test_a_better_trend_never_lowers_the_gain(make, gain):
    grid = GRID[: len(make().inputs)]
    surface = infer(make(), *grid)[gain]
    # A wide set between two others may pull the centroid back a little.
    assert np.diff(surface, axis=0).min() > -0.002 * np.ptp(surface)


def test_a_promise_that_is_better_kept_never_lowers_the_gain():
    rates = infer(default_rule_base(), *GRID)["gain_rate"]
    along = np.diff(rates, axis=2)
    assert along.min() > -0.002 * np.ptp(rates)
    assert along.max() > 0.1 * GAIN_RATES["raise"]


def test_where_the_promise_is_kept_it_is_as_if_there_were_none():
    trend, progress, falls = GRID
    falls = falls[falls >= KEPT]
    assert len(falls) > 10
    ours = infer(default_rule_base(), trend, progress, falls)
    for name, values in infer(without_loss_fall(), trend, progress).items():
        np.testing.assert_allclose(
            ours[name], np.repeat(values[..., None], len(falls), 2), atol=1e-12
        )


def test_surfaces_agree_where_the_promise_is_kept():
    surfaces = [control_surface(b) for b in (default_rule_base(), without_loss_fall())]
    for fall in (KEPT, 0.8, 1.0, 9.0):
        ours, former = (s.evaluate(*GRID[:2], fall) for s in surfaces)
        for output in default_rule_base().outputs:
            difference = np.abs(ours[output.name] - former[output.name]).max()
            assert difference < 0.006 * (output.high - output.low)


def test_where_the_promise_is_broken_the_gain_never_rises():
    trend, progress, falls = GRID
    falls = falls[falls <= STALLED]
    assert len(falls) > 10
    base = default_rule_base()
    rates = infer(base, trend, progress, falls)["gain_rate"]
    assert rates.max() < 1e-12
    np.testing.assert_allclose(rates[trend >= FALLING], 0.0, atol=1e-12)
    surface = control_surface(base)
    for fall in falls:
        assert surface.evaluate(trend, progress, fall)["gain_rate"].max() < 1e-8


def test_a_broken_promise_changes_nothing_but_the_gain():
    broken, half, whole = np.moveaxis(
        infer(default_rule_base(), *GRID[:2], [STALLED, (STALLED + KEPT) / 2, KEPT])[
            "beta_3"
        ],
        2,
        0,
    )
    np.testing.assert_allclose(broken, whole, atol=1e-12)
    # Between them two rules share what one had, and the centroid moves a little.
    assert np.abs(half - whole).max() < 0.01


def test_they_are_made_alike_every_time_and_differ_from_each_other():
    assert default_rule_base() == default_rule_base()
    assert default_rule_base() != paper_rule_base()
    assert default_rule_base().law == "rate"
    assert paper_rule_base().law == "direct"
