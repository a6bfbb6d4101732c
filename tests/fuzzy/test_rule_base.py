import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from keras_fuzzyhess.fuzzy import Rule, RuleBase, Term, Variable


def test_order_of_variables_and_of_a_rules_parts_does_not_matter(parts, small):
    swapped = RuleBase(
        "small",
        parts["inputs"][::-1],
        list(parts["outputs"][::-1]),
        [
            Rule(tuple(rule.antecedent.items())[::-1], dict(rule.consequent))
            for rule in parts["rules"]
        ],
    )
    assert swapped == small
    assert hash(swapped) == hash(small)
    assert [v.name for v in swapped.inputs] == ["loss_trend", "progress"]
    assert [v.name for v in swapped.outputs] == ["gain_rate", "beta_3"]


def test_inputs_are_kept_in_one_order_and_all_of_them(parts_of_three, small_of_three):
    swapped = RuleBase(**(parts_of_three | {"inputs": parts_of_three["inputs"][::-1]}))
    assert swapped == small_of_three
    assert [v.name for v in swapped.inputs] == ["loss_trend", "progress", "loss_fall"]
    assert RuleBase.from_dict(swapped.to_dict()) == swapped


def test_any_difference_makes_rule_bases_unequal(parts, small):
    rules = (*parts["rules"][:-1], dataclasses.replace(parts["rules"][-1], weight=0.9))
    assert RuleBase(**(parts | {"rules": rules})) != small


@pytest.mark.parametrize("gain, law", [("gain_rate", "rate"), ("gain", "direct")])
def test_the_gain_output_decides_the_law(parts, gain, law):
    variable = Variable(gain, 0.0, 0.5, (Term("some", "triangle", (0.1, 0.2, 0.3)),))
    rules = tuple(
        Rule(rule.if_, {gain: "some", "beta_3": rule.consequent["beta_3"]})
        for rule in parts["rules"]
    )
    outputs = (variable, parts["outputs"][1])
    assert RuleBase(**(parts | {"outputs": outputs, "rules": rules})).law == law


def test_nothing_can_be_changed(small):
    changes = [
        (small, "rules", ()),
        (small.inputs[0], "low", 0.0),
        (small.inputs[0].terms[0], "points", (0.0, 1.0)),
        (small.rules[0], "weight", 0.0),
    ]
    for part, name, value in changes:
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(part, name, value)
    small.rules[0].antecedent["loss_trend"] = "falling"
    assert small.rules[0].antecedent["loss_trend"] == "rising"


def test_numbers_of_numpy_and_lists_are_taken_as_python_floats_and_tuples():
    term = Term("flat", "triangle", np.array([-1, 0, 1], np.float32))
    assert term.points == (-1.0, 0.0, 1.0)
    assert all(type(point) is float for point in term.points)
    rule = Rule({"progress": "late"}, {"gain": "low"}, Fraction(1, 4))
    assert type(rule.weight) is float
    assert rule.weight == 0.25


@pytest.mark.parametrize(
    "term, expected",
    [
        (Term("t", "triangle", (0.1, 0.2, 0.4)), (0.1, 0.2, 0.2, 0.4)),
        (Term("t", "trapezoid", (0.1, 0.2, 0.3, 0.4)), (0.1, 0.2, 0.3, 0.4)),
        (Term("t", "left_shoulder", (0.1, 0.2)), (0.0, 0.0, 0.1, 0.2)),
        (Term("t", "right_shoulder", (0.1, 0.2)), (0.1, 0.2, 1.0, 1.0)),
    ],
)
def test_every_shape_is_a_trapezoid(term, expected):
    variable = Variable("progress", 0.0, 1.0, (term,))
    assert variable.corners("t") == expected


def test_a_cell_may_be_covered_by_a_rule_of_one_input(parts):
    rules = list(parts["rules"])
    removed = rules.pop(0)
    rules.append(Rule({"progress": "early"}, removed.then, weight=0.01))
    assert RuleBase(**(parts | {"rules": rules})).rules[-1].weight == 0.01
