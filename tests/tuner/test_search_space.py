"""Every point of the space is a sound rule base; the defaults are the base itself."""

import itertools

import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fuzzyhess.fuzzy import (
    Rule,
    RuleBase,
    Term,
    Variable,
    compile_surface,
    default_rule_base,
    paper_rule_base,
)
from keras_fuzzyhess.fuzzy.default_rules import GAIN_RATE_SPREAD, GAIN_RATES
from keras_fuzzyhess.tuner import (
    breakpoints,
    outputs,
    rule_base,
    rule_base_of,
    rule_weights,
)
from keras_fuzzyhess.tuner.search_space import GROUPS, ORIGIN


def five_by_five():
    names = ("a", "b", "c", "d", "e")

    def partition(name, low, high):
        knots = np.linspace(low, high, 5).tolist()
        left = Term("a", "left_shoulder", (knots[0], knots[1]))
        right = Term("e", "right_shoulder", (knots[3], knots[4]))
        middle = [
            Term(names[i], "triangle", tuple(knots[i - 1 : i + 2])) for i in (1, 2, 3)
        ]
        return Variable(name, low, high, (left, *middle, right))

    default = default_rule_base()
    rules = tuple(
        Rule(
            {"loss_trend": trend, "progress": stage},
            {"gain_rate": "hold", "beta_3": "short"},
            weight=0.5,
        )
        for trend, stage in itertools.product(names, names)
    )
    inputs = (partition("loss_trend", -1.0, 1.0), partition("progress", 0.0, 1.0))
    return RuleBase("five by five", inputs, default.outputs, rules)


def irregular():
    """Vertical edges at the ends, trapezoids, rules that ask for one input only."""
    trend = Variable(
        "loss_trend",
        -1.0,
        1.0,
        (
            Term("down", "trapezoid", (-1.0, -1.0, -0.2, 0.1)),
            Term("up", "trapezoid", (-0.1, 0.2, 1.0, 1.0)),
        ),
    )
    progress = Variable(
        "progress", 0.0, 1.0, (Term("any", "trapezoid", (0.0, 0.0, 1.0, 1.0)),)
    )
    default = default_rule_base()
    rules = (
        Rule({"loss_trend": "down"}, {"gain_rate": "cut", "beta_3": "short"}, 0.3),
        Rule({"loss_trend": "up"}, {"gain_rate": "raise", "beta_3": "long"}, 0.6),
        Rule({"progress": "any"}, {"gain_rate": "hold", "beta_3": "long"}, 0.0),
    )
    return RuleBase("irregular", (trend, progress), default.outputs, rules)


BASES = [default_rule_base(), paper_rule_base(), five_by_five(), irregular()]
every_base = pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)


def space(base, search=GROUPS):
    hp = keras_tuner.HyperParameters()
    rule_base(hp, base, search)
    return hp


def dimensions(hp):
    return [p for p in hp.space if p.name != ORIGIN]


@every_base
def test_defaults_are_the_base_itself(base):
    hp = keras_tuner.HyperParameters()
    assert rule_base(hp, base) == base
    for entry in dimensions(hp):  # as they come through KerasTuner's messages
        hp.values[entry.name] = float(np.float32(entry.default))
    assert rule_base(hp, base) == base


@every_base
@settings(max_examples=60, deadline=None)
@given(shares=st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_every_point_is_a_sound_rule_base(base, shares):
    hp = space(base)
    for entry, share in zip(dimensions(hp), itertools.cycle(shares)):
        hp.values[entry.name] = entry.prob_to_value(share)
    varied = rule_base(hp, base)  # RuleBase raises where it is not sound
    for before, after in zip(base.inputs, varied.inputs, strict=True):
        order = np.argsort([p for t in before.terms for p in t.points], kind="stable")
        moved = np.array([p for t in after.terms for p in t.points])[order]
        assert (np.diff(moved) >= -1e-12).all()
    assert len(varied.rules) == len(base.rules)


def test_extreme_rule_bases_can_be_compiled():
    hp = space(default_rule_base())
    for seed in range(5):
        for i, entry in enumerate(dimensions(hp)):
            hp.values[entry.name] = entry.random_sample(100 * seed + i)
        compile_surface(rule_base(hp))


def test_dimensions_of_the_default():
    hp = space(default_rule_base())
    assert [entry.name.removeprefix("rule_base/") for entry in dimensions(hp)] == [
        "loss_trend/point_1",
        "loss_trend/point_2",
        "loss_trend/point_3",
        "progress/point_1",
        "progress/point_2",
        "progress/point_3",
        "loss_fall/point_1",
        "loss_fall/point_2",
        "weight/rising",
        "weight/flat",
        "weight/falling",
        "gain_rate/cut",
        "gain_rate/raise",
        "beta_3/memory",
    ]
    lengths = {group: len(dimensions(space(None, group))) for group in GROUPS}
    assert lengths == {"breakpoints": 8, "weights": 3, "outputs": 3}


def test_a_group_that_is_not_searched_stays():
    base = default_rule_base()
    hp = space(base, ["weights"])
    hp.values["rule_base/weight/flat"] = 0.5
    varied = rule_base(hp, base, ["weights"])
    assert varied.inputs == base.inputs and varied.outputs == base.outputs
    assert {rule.weight for rule in varied.rules} == {0.5, 1.0}


def test_a_single_hyperparameter_can_be_fixed():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("rule_base/weight/flat", 0.25)
    oracle = keras_tuner.oracles.RandomSearchOracle("loss", hyperparameters=hp, seed=1)
    asked = oracle.get_space()
    rule_base(asked)
    oracle.update_space(asked)
    for _ in range(3):
        assert oracle._random_values()["rule_base/weight/flat"] == 0.25


def test_random_breakpoints_are_uniformly_distributed():
    """Moments of the order statistics of 3 uniform numbers, on a slack of 0.96."""
    progress = default_rule_base().inputs[1]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        hp = keras_tuner.HyperParameters()
        for i in (1, 2, 3):
            hp.values[f"rule_base/progress/point_{i}"] = rng.uniform()
        early, middle, _ = breakpoints(hp, progress).terms
        drawn.append([early.points[0], middle.points[1], middle.points[2]])
    means = 0.96 * np.array([0.25, 0.5, 0.75]) + 0.02 * np.arange(3)
    variances = 0.96**2 * np.array([3, 4, 3]) / 80
    np.testing.assert_allclose(np.mean(drawn, axis=0), means, atol=0.015)
    np.testing.assert_allclose(np.var(drawn, axis=0), variances, rtol=0.1)
    assert np.diff(drawn, axis=1).min() > 0.02 - 1e-12


def test_weights_keep_their_ratio():
    base = five_by_five()
    uneven = RuleBase(
        "uneven",
        base.inputs,
        base.outputs,
        (Rule({"loss_trend": "a"}, base.rules[0].then, 0.2), *base.rules),
    )
    hp = keras_tuner.HyperParameters()
    hp.values["rule_base/weight/a"] = 1.0
    weights = [rule.weight for rule in rule_weights(hp, uneven)]
    assert weights[:3] == [0.4, 1.0, 1.0]


def test_outputs_keep_their_widths():
    gain_rate, beta_3 = default_rule_base().outputs
    hp = keras_tuner.HyperParameters()
    hp.values.update({"rule_base/gain_rate/cut": 0.5, "rule_base/beta_3/memory": 2.0})
    cut, hold, _ = outputs(hp, gain_rate).terms
    peak, spread = GAIN_RATES["cut"] / 2, GAIN_RATE_SPREAD
    np.testing.assert_allclose(cut.points, (peak - spread, peak, peak + spread))
    assert hold == gain_rate.terms[1]  # 0 times any factor
    memory = [1 / (1 - term.points[1]) for term in outputs(hp, beta_3).terms]
    np.testing.assert_allclose(memory, (10, 20, 40))


def test_a_trial_remembers_what_it_varies(tmp_path):
    paper_rule_base().save(tmp_path / "base.json")
    hp = keras_tuner.HyperParameters()
    rule_base(hp, tmp_path / "base.json", ["outputs"])
    hp.values["rule_base/gain/small"] = 0.5
    restored = keras_tuner.HyperParameters.from_config(hp.get_config())
    assert rule_base_of(restored) == rule_base(hp, paper_rule_base(), ["outputs"])
    assert rule_base_of(restored) != paper_rule_base()


@pytest.mark.parametrize(
    ("base", "search", "said"),
    [
        (None, ["weights"], '`search` was ["breakpoints", "weights", "outputs"], now'),
        (paper_rule_base(), GROUPS, '`base.name` was "default", now "paper"'),
    ],
)
def test_another_space_says_what_changed(base, search, said):
    hp = keras_tuner.HyperParameters.from_config(space(None).get_config())
    with pytest.raises(ValueError, match="must go on in the space") as caught:
        rule_base(hp, base, search)
    assert said in str(caught.value)
    assert isinstance(caught.value, keras_tuner.errors.FatalError)


def test_errors():
    hp = keras_tuner.HyperParameters()
    with pytest.raises(TypeError, match="must be a `RuleBase`.*Received: base=3"):
        rule_base(hp, 3)
    for vary in (breakpoints, outputs):
        with pytest.raises(TypeError, match="`variable` must be a `Variable`"):
            vary(hp, default_rule_base())
    with pytest.raises(TypeError, match="`base` must be a `RuleBase`"):
        rule_weights(hp, "base.json")
    for search in ((), ["rules"], "rules"):
        with pytest.raises(ValueError, match="one or more of breakpoints, weights"):
            rule_base(hp, search=search)
    with pytest.raises(ValueError, match="those of a search.*Received: none"):
        rule_base_of(hp)
