"""Any sound rule base compiles into a surface that says what its rules say."""

import numpy as np
import pytest
from hypothesis import given

from keras_fuzzyhess.fuzzy import ControlSurface, compile_surface, infer
from tests.fuzzing.budget import draws
from tests.fuzzy.generated import rule_bases

TOLERANCE = 2e-3
"""Deviation from the rules, as a share of the range of the output's variable."""


@pytest.mark.slow
@draws(few=40, many=200)
@given(rule_bases())
def test_any_sound_rule_base_compiles(rule_base):
    surface = compile_surface(rule_base)
    assert surface.law == rule_base.law
    assert ControlSurface.from_dict(surface.to_dict()) == surface
    trend, progress = np.linspace(-2, 2, 40), np.linspace(-1, 2, 40)
    # `deviation` is measured half-way between knots; where the output turns within a
    # cell, the largest one lies elsewhere.
    exact, found = infer(rule_base, trend, progress), surface.evaluate(trend, progress)
    for output in rule_base.outputs:
        values = surface.tables[output.name]
        assert np.isfinite(values).all()
        assert values.min() >= np.float32(output.low)
        assert values.max() <= np.float32(output.high)
        np.testing.assert_allclose(
            found[output.name],
            exact[output.name],
            rtol=0,
            atol=max(3 * surface.deviation, TOLERANCE) * (output.high - output.low),
        )
