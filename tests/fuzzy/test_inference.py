"""Exact inference against a plain one: sampled sets, one point at a time."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_fuzzyhess.fuzzy import (
    Rule,
    RuleBase,
    Term,
    Variable,
    default_rule_base,
    firing_strengths,
    infer,
)
from keras_fuzzyhess.fuzzy.default_rules import FLAT, KEPT, RISING, STALLED
from keras_fuzzyhess.fuzzy.inference import centroids

from .generated import rule_bases


def trapezoid(z, a, b, c, d):
    rise = (z >= a) if a == b else (z - a) / (b - a)
    fall = (z <= d) if c == d else (d - z) / (d - c)
    return np.clip(np.minimum(rise, fall), 0.0, 1.0)


def plain_inference(rule_base, point, output, samples=200_001):
    """Centroid of the aggregated set, by sampling it at many points."""
    z = np.linspace(output.low, output.high, samples)
    aggregated = np.zeros(samples)
    for rule in rule_base.rules:
        strength = min(
            float(
                trapezoid(np.array(point[v.name]), *v.corners(rule.antecedent[v.name]))
            )
            for v in rule_base.inputs
            if v.name in rule.antecedent
        )
        term = trapezoid(z, *output.corners(rule.consequent[output.name]))
        aggregated = np.maximum(aggregated, np.minimum(rule.weight * strength, term))
    return np.sum(z * aggregated) / np.sum(aggregated)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rule_bases(), st.tuples(*[st.floats(0, 1)] * 3))
def test_generated_rule_bases_give_what_plain_inference_gives(rule_base, shares):
    # Rounding can lead past the end of the range, where `plain_inference`, unlike
    # `infer`, finds no set.
    point = {
        v.name: min(v.low + share * (v.high - v.low), v.high)
        for v, share in zip(rule_base.inputs, shares, strict=False)
    }
    exact = infer(rule_base, *([value] for value in point.values()))
    for output in rule_base.outputs:
        assert exact[output.name].item() == pytest.approx(
            plain_inference(rule_base, point, output),
            abs=1e-3 * (output.high - output.low),
        )


@pytest.mark.parametrize("level", [1.0, 0.5, 1e-3, 1e-9, 1e-15])
def test_a_single_symmetric_set_has_its_peak_at_any_level(level):
    terms = (Term("some", "triangle", (0.2, 0.3, 0.4)),)
    gain = Variable("gain", 0.0, 1.0, terms)
    np.testing.assert_allclose(
        centroids(gain, {"some": np.array([level])}), [0.3], rtol=1e-12
    )


def test_two_overlapping_rectangles_are_counted_once():
    terms = (
        Term("low", "trapezoid", (0.0, 0.0, 0.6, 0.6)),
        Term("high", "trapezoid", (0.4, 0.4, 1.0, 1.0)),
    )
    gain = Variable("gain", 0.0, 1.0, terms)
    # Heights 1 on [0, 0.6] and 1/2 on [0.6, 1]: area 0.8, moment 0.18 + 0.16.
    value = centroids(gain, {"low": np.array(1.0), "high": np.array(0.5)})
    assert value == pytest.approx(0.34 / 0.8)


def test_many_terms_that_all_overlap():
    terms = tuple(
        Term(f"t{i}", "triangle", (0.0, 0.1 + 0.1 * i, 1.0)) for i in range(9)
    )
    gain = Variable("gain", 0.0, 1.0, terms)
    cuts = {f"t{i}": np.array(0.1 * (i + 1)) for i in range(9)}
    z = np.linspace(0, 1, 200_001)
    sets = [
        np.minimum(cuts[t.name], trapezoid(z, *gain.corners(t.name))) for t in terms
    ]
    aggregated = np.max(sets, axis=0)
    expected = np.sum(z * aggregated) / np.sum(aggregated)
    assert centroids(gain, cuts) == pytest.approx(expected, abs=1e-5)


def test_inputs_beyond_the_range_count_as_its_ends(small):
    beyond = infer(small, [-9.0, 0.0, 9.0], [-9.0, 9.0])
    inside = infer(small, [-1.0, 0.0, 1.0], [0.0, 1.0])
    for name, values in inside.items():
        np.testing.assert_array_equal(beyond[name], values)


def test_firing_strengths_are_weighted_minima_along_a_path():
    """Rows are rules, one of which names one input only, and one is without weight."""
    base = default_rule_base()
    then = base.rules[0].consequent
    rules = (
        *base.rules,
        Rule({"loss_trend": "rising"}, then, 0.5),
        Rule({"progress": "late"}, then, 0.0),
    )
    base = RuleBase("more", base.inputs, base.outputs, rules)
    strengths = firing_strengths(
        base,
        [FLAT + 0.25 * (RISING - FLAT), -9.0, 9.0],
        [0.2, 9.0, -9.0],
        [1.0, 1.0, STALLED + 0.25 * (KEPT - STALLED)],
    )
    assert strengths.shape == (14, 3)
    # A quarter of the way "rising" holds to 0.25; at 0.2 "early" to 0.75. Beyond: the
    # ends.
    np.testing.assert_allclose(strengths[0], [0.25, 0.0, 0.0])
    np.testing.assert_allclose(strengths[2], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(strengths[12], [0.125, 0.5, 0.0])
    np.testing.assert_array_equal(strengths[13], 0.0)
    # At last "falling" holds fully, and its promise is kept to a quarter.
    np.testing.assert_allclose(strengths[[6, 9], 2], [0.25, 0.75])
