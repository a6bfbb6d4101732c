"""Any sound rule base compiles into a surface that says what its rules say."""

import numpy as np
import pytest
from hypothesis import given

from keras_fuzzyhess.fuzzy import ControlSurface, compile_surface, infer
from tests.fuzzing.budget import draws
from tests.fuzzy.generated import rule_bases
from tests.helpers.rule_bases import evaluated

TOLERANCES = {2: 2e-3, 3: 1e-2}
"""Deviation from the rules, as a share of the range of the output's variable, by the
number of inputs."""


@pytest.mark.slow
@draws(few=40, many=200)
@given(rule_bases(counts=(2,)))
def test_any_sound_rule_base_compiles(rule_base):
    check_surface_of(rule_base)


@pytest.mark.slow
@draws(few=8, many=100)
@given(rule_bases(counts=(3,)))
def test_any_sound_rule_base_of_three_inputs_compiles(rule_base):
    check_surface_of(rule_base)


def check_surface_of(rule_base):
    surface = compile_surface(rule_base)
    assert surface.law == rule_base.law
    assert ControlSurface.from_dict(surface.to_dict()) == surface
    trend, progress = np.linspace(-2, 2, 40), np.linspace(-1, 2, 40)
    inputs = (trend, progress, np.linspace(-2, 2, 9))[: len(rule_base.inputs)]
    exact, found = infer(rule_base, *inputs), evaluated(surface, *inputs)
    # `deviation` is measured half-way between knots; where the output turns within a
    # cell, the largest one lies elsewhere.
    tolerance = max(3 * surface.deviation, TOLERANCES[len(inputs)])
    for output in rule_base.outputs:
        values = surface.tables[output.name]
        assert np.isfinite(values).all()
        assert values.min() >= np.float32(output.low)
        assert values.max() <= np.float32(output.high)
        np.testing.assert_allclose(
            found[output.name],
            exact[output.name],
            rtol=0,
            atol=tolerance * (output.high - output.low),
        )
