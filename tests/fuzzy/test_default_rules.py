import numpy as np
import pytest

from keras_fuzzyhess.fuzzy import default_rule_base, infer, paper_rule_base
from keras_fuzzyhess.fuzzy.default_rules import (
    CLEAR_TREND,
    FALLING,
    FLAT,
    GAIN_RATES,
    RISING,
)

TRENDS = {
    "gain_rate": {"rising": RISING, "flat": FLAT, "falling": FALLING},
    "gain": {"rising": -CLEAR_TREND, "flat": 0.0, "falling": CLEAR_TREND},
}
STAGES = {"early": 0.0, "middle": 0.5, "late": 1.0}


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
def test_every_cell_has_one_rule_with_a_reason(make):
    rules = make().rules
    cells = {tuple(sorted(rule.antecedent.values())) for rule in rules}
    assert len(rules) == len(cells) == 9
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
    outputs = infer(make(), list(TRENDS[gain].values()), list(STAGES.values()))
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
    surface = infer(make(), np.linspace(-1, 1, 201), np.linspace(0, 1, 101))[gain]
    # A wide set between two others may pull the centroid back a little.
    assert np.diff(surface, axis=0).min() > -0.002 * np.ptp(surface)


def test_they_are_made_alike_every_time_and_differ_from_each_other():
    assert default_rule_base() == default_rule_base()
    assert default_rule_base() != paper_rule_base()
    assert default_rule_base().law == "rate"
    assert paper_rule_base().law == "direct"
