import dataclasses
import math

import pytest
from hypothesis import HealthCheck, given, settings

from keras_fuzzyhess.fuzzy import Rule, RuleBase, Term, Variable

from .generated import broken_rule_bases


def replace_term(variable, name, term):
    terms = tuple(term if t.name == name else t for t in variable.terms)
    return dataclasses.replace(variable, terms=terms)


@pytest.mark.parametrize(
    "make, error, named",
    [
        (lambda: Term(3, "triangle", (0, 1, 2)), TypeError, ["name", "3"]),
        (lambda: Term("a" * 65, "triangle", (0, 1, 2)), ValueError, ["64"]),
        (lambda: Term(" a", "triangle", (0, 1, 2)), ValueError, ["' a'"]),
        (lambda: Term("a\n", "triangle", (0, 1, 2)), ValueError, ["printable"]),
        (lambda: Term("a", "bell", (0, 1, 2)), ValueError, ["'a'", "'bell'"]),
        (lambda: Term("a", ["triangle"], (0, 1, 2)), ValueError, ["'a'", "shape"]),
        (lambda: Term("a", "triangle", (0, 1)), ValueError, ["'a'", "3", "(0, 1)"]),
        (lambda: Term("a", "triangle", "012"), TypeError, ["'a'", "'012'"]),
        (lambda: Term("a", "triangle", 5), TypeError, ["'a'", "5"]),
        (lambda: Term("a", "triangle", (0, "1", 2)), TypeError, ["'a'", "'1'"]),
        (lambda: Term("a", "triangle", (False, 1, 2)), TypeError, ["'a'", "bool"]),
        (lambda: Term("a", "triangle", (0, 2, 1)), ValueError, ["'a'", "ascending"]),
        (lambda: Term("a", "triangle", (0, math.nan, 1)), ValueError, ["'a'", "nan"]),
        (
            lambda: Term("a", "left_shoulder", (0, 10**400)),
            ValueError,
            ["'a'", "finite"],
        ),
        (lambda: Variable("v", 0, 0, ()), ValueError, ["'v'", "low=0.0, high=0.0"]),
        (lambda: Variable("v", 0, math.inf, ()), ValueError, ["`high`", "'v'", "inf"]),
        (lambda: Variable("v", 0, 1, ()), ValueError, ["`terms`", "'v'", "0"]),
        (lambda: Variable("v", 0, 1, ["t"]), TypeError, ["'v'", "Term", "'t'"]),
        (lambda: Variable("v", 0, 1, 7), TypeError, ["'v'", "Term", "7"]),
        (
            lambda: Variable(
                "v", 0, 1, [Term(f"t{i}", "triangle", (0, 0, 1)) for i in range(10)]
            ),
            ValueError,
            ["'v'", "9", "10"],
        ),
        (
            lambda: Variable("v", 0, 1, [Term("t", "triangle", (0, 1, 1.5))]),
            ValueError,
            ["'t'", "'v'", "inside", "1.5"],
        ),
        (lambda: Rule("if", {"a": "b"}), TypeError, ["if_", "'if'"]),
        (lambda: Rule({"a": 3}, {"a": "b"}), TypeError, ["if_", "3"]),
        (lambda: Rule({"a": "b"}, {}), ValueError, ["then", "at least one"]),
        (lambda: Rule({"a": "b"}, [("c", "d", "e")]), TypeError, ["then", "pairs"]),
        (
            lambda: Rule((("a", "b"), ("a", "c")), {"d": "e"}),
            ValueError,
            ["if_", "'a' twice"],
        ),
        (lambda: Rule({"a": "b"}, {"c": "d"}, 1.01), ValueError, ["a=b", "1.01"]),
        (lambda: Rule({"a": "b"}, {"c": "d"}, True), TypeError, ["a=b", "bool"]),
        (lambda: Rule({"a": "b"}, {"c": "d"}, why=None), TypeError, ["why", "a=b"]),
        (lambda: Rule({"a": "b"}, {"c": "d"}, why="x" * 1001), ValueError, ["1000"]),
    ],
)
def test_a_broken_part_is_refused_by_name(make, error, named):
    with pytest.raises(error) as refusal:
        make()
    for fragment in [*named, "must", "Received"]:
        assert fragment in str(refusal.value)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"name": ""}, ["name of a rule base"]),
        ({"rules": ()}, ["`rules`", "'small'"]),
        ({"inputs": ()}, ["`inputs`", "'small'"]),
    ],
)
def test_a_rule_base_needs_all_its_parts(parts, change, named):
    with pytest.raises(ValueError) as refusal:
        RuleBase(**(parts | change))
    for fragment in named:
        assert fragment in str(refusal.value)


def test_two_inputs_are_needed_a_third_may_be_there_and_no_other(parts_of_three):
    trend, progress, fall = parts_of_three["inputs"]
    epoch = dataclasses.replace(progress, name="epoch")
    wrong = [(trend,), (trend, epoch), (trend, fall), (progress, fall)]
    for inputs in (*wrong, (trend, progress, epoch), (trend, progress, fall, epoch)):
        with pytest.raises(
            ValueError, match="'loss_trend' and 'progress', and may have 'loss_fall'"
        ) as refusal:
            RuleBase(**(parts_of_three | {"inputs": inputs}))
        for variable in inputs:
            assert repr(variable.name) in str(refusal.value).partition("Received")[2]
    with pytest.raises(ValueError, match="'loss_trend' twice"):
        RuleBase(**(parts_of_three | {"inputs": (trend, trend)}))


def test_a_rule_cannot_ask_for_an_input_that_is_not_there(parts, parts_of_three):
    with pytest.raises(ValueError, match="rule 3 .*loss_fall=kept.*must name inputs"):
        RuleBase(**(parts | {"rules": parts_of_three["rules"]}))


@pytest.mark.parametrize("names", [("beta_3",), ("gain_rate",), ("gain", "gain_rate")])
def test_outputs_other_than_the_documented_pairs_are_refused(parts, names):
    terms = (Term("some", "triangle", (0.1, 0.2, 0.3)),)
    outputs = [Variable(name, 0.0, 0.5, terms) for name in names]
    with pytest.raises(
        ValueError,
        match=r"'beta_3' and one of.*Received: \["
        + repr(sorted(names, reverse=True)[0]),
    ):
        RuleBase(**(parts | {"outputs": outputs}))


@pytest.mark.parametrize(
    "side, index, low, high",
    [
        ("inputs", 0, -1.1, 1.0),
        ("inputs", 0, -1.0, 1.1),
        ("inputs", 1, -0.1, 1.0),
        ("inputs", 2, -1.1, 1.0),
        ("inputs", 2, -1.0, 1.1),
        ("outputs", 0, -1.5, 0.1),
        ("outputs", 1, 0.8, 1.0),
        ("outputs", 1, 0.8, 0.999999999),
    ],
)
def test_ranges_stay_within_the_documented_limits(
    parts_of_three, side, index, low, high
):
    parts = parts_of_three
    variables = list(parts[side])
    variables[index] = dataclasses.replace(variables[index], low=low, high=high)
    with pytest.raises(ValueError, match=f"{variables[index].name}.*low={low}"):
        RuleBase(**(parts | {side: variables}))


def test_an_input_range_too_narrow_for_float32_is_refused(parts):
    terms = (Term("here", "trapezoid", (0.5, 0.5, 0.501, 0.501)),)
    progress = Variable("progress", 0.5, 0.501, terms)
    with pytest.raises(ValueError, match="'progress' must be at least 0.01 wide"):
        RuleBase(**(parts | {"inputs": (parts["inputs"][0], progress)}))


def test_terms_that_only_touch_leave_a_gap(parts):
    progress = parts["inputs"][1]
    progress = replace_term(
        progress, "early", Term("early", "left_shoulder", (0.2, 0.5))
    )
    progress = replace_term(
        progress, "late", Term("late", "right_shoulder", (0.5, 0.8))
    )
    with pytest.raises(ValueError, match="'progress'.*none of which holds at 0.5"):
        RuleBase(**(parts | {"inputs": (parts["inputs"][0], progress)}))


def test_names_are_given_back_as_they_were_written(parts):
    rule = Rule({"loss_trend": "Up"}, parts["rules"][0].consequent)
    with pytest.raises(ValueError, match="of rule 1 .'if loss_trend=Up then"):
        RuleBase(**(parts | {"rules": (rule, *parts["rules"])}))


@pytest.mark.parametrize("removed", range(4))
@pytest.mark.parametrize("how", ["left out", "of weight 0"])
def test_a_cell_without_a_rule_is_named(parts, removed, how):
    rules = list(parts["rules"])
    rule = rules.pop(removed)
    if how == "of weight 0":
        rules.append(dataclasses.replace(rule, weight=0.0))
    cell = "loss_trend={loss_trend}, progress={progress}".format(**rule.antecedent)
    with pytest.raises(ValueError, match=f"Add a rule for {cell}"):
        RuleBase(**(parts | {"rules": rules}))


@pytest.mark.parametrize("removed", range(6))
def test_a_cell_of_three_inputs_without_a_rule_is_named(parts_of_three, removed):
    rules = list(parts_of_three["rules"])
    gone = rules.pop(removed).antecedent
    cell = "loss_trend={loss_trend}, progress={progress}, loss_fall=".format(**gone)
    cell += gone.get("loss_fall", "broken")  # the first of those that lack a rule
    place = "no rule that fires at loss_trend=.*, progress=.*, loss_fall="
    with pytest.raises(ValueError, match=f"(?s)Add a rule for {cell}.*{place}"):
        RuleBase(**(parts_of_three | {"rules": rules}))


def test_a_cell_missing_only_at_a_corner_is_found(parts):
    trend = replace_term(
        parts["inputs"][0], "falling", Term("falling", "triangle", (-0.5, 1.0, 1.0))
    )
    trend = replace_term(trend, "rising", Term("rising", "triangle", (-1.0, -1.0, 1.0)))
    progress = replace_term(
        parts["inputs"][1], "late", Term("late", "triangle", (0.2, 1.0, 1.0))
    )
    progress = replace_term(
        progress, "early", Term("early", "triangle", (0.0, 0.0, 1.0))
    )
    rules = [r for r in parts["rules"] if set(r.antecedent.values()) != {
        "falling", "late"}]  # fmt: skip
    with pytest.raises(ValueError, match="falling, progress=late.*loss_trend=1, p"):
        RuleBase(**(parts | {"inputs": (trend, progress), "rules": rules}))


@pytest.mark.parametrize(
    "shape, points, sound",
    [
        ("trapezoid", (-1.0, -1.0, 0.0, 0.5), True),
        ("trapezoid", (-0.9, -0.9, 0.0, 0.5), False),
        ("trapezoid", (-1.0, -1.0, 0.5, 0.5), False),
        ("trapezoid", (-1.0, -1.0, 0.5, 0.5001), False),
        ("trapezoid", (-1.0, -1.0, 0.5, 0.5003), True),
    ],
)
def test_an_input_membership_must_not_jump(parts, shape, points, sound):
    trend = parts["inputs"][0]
    trend = Variable(
        "loss_trend",
        -1.0,
        1.0,
        (
            Term("rising", shape, points),
            Term("falling", "trapezoid", (-1.0, -1.0, 1.0, 1.0)),
        ),
    )
    change = {"inputs": (trend, parts["inputs"][1])}
    if sound:
        RuleBase(**(parts | change))
    else:
        with pytest.raises(
            ValueError, match="'rising'.*'loss_trend'.*edge|[Ee]dge.*'ri"
        ):
            RuleBase(**(parts | change))


def test_only_terms_in_use_need_an_area(parts):
    rate, beta = parts["outputs"]
    point = Term("point", "triangle", (0.0, 0.0, 0.0))
    rate = dataclasses.replace(rate, terms=(*rate.terms, point))
    rules = list(parts["rules"])
    outputs = (rate, beta)
    RuleBase(**(parts | {"outputs": outputs}))
    rules[2] = Rule(rules[2].if_, {"gain_rate": "point", "beta_3": "long"})
    with pytest.raises(ValueError, match="'point'.*'gain_rate'.*rule 3.*area"):
        RuleBase(**(parts | {"outputs": outputs, "rules": rules}))


@pytest.mark.slow
@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(broken_rule_bases())
def test_generated_broken_rule_bases_are_refused_by_name(broken):
    data, named = broken
    with pytest.raises(ValueError) as refusal:
        RuleBase.from_dict(data)
    for fragment in named:
        assert fragment.lower() in str(refusal.value).lower()
