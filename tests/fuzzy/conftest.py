import pytest

from keras_fuzzyhess.fuzzy import Rule, RuleBase, Term, Variable


@pytest.fixture
def parts():
    """Arguments of a small sound rule base, to be changed by a test."""
    return {
        "name": "small",
        "inputs": (
            Variable(
                "loss_trend",
                -1.0,
                1.0,
                (
                    Term("rising", "left_shoulder", (-0.5, 0.5)),
                    Term("falling", "right_shoulder", (-0.5, 0.5)),
                ),
            ),
            Variable(
                "progress",
                0.0,
                1.0,
                (
                    Term("early", "left_shoulder", (0.2, 0.8)),
                    Term("late", "right_shoulder", (0.2, 0.8)),
                ),
            ),
        ),
        "outputs": (
            Variable(
                "gain_rate",
                -0.1,
                0.1,
                (
                    Term("down", "triangle", (-0.1, -0.05, 0.0)),
                    Term("up", "triangle", (0.0, 0.05, 0.1)),
                ),
            ),
            Variable(
                "beta_3",
                0.8,
                0.999,
                (
                    Term("short", "trapezoid", (0.8, 0.85, 0.9, 0.95)),
                    Term("long", "triangle", (0.9, 0.95, 0.999)),
                ),
            ),
        ),
        "rules": tuple(
            Rule(
                {"loss_trend": trend, "progress": stage},
                {
                    "gain_rate": "down" if trend == "rising" else "up",
                    "beta_3": "short" if stage == "early" else "long",
                },
            )
            for trend in ("rising", "falling")
            for stage in ("early", "late")
        ),
    }


@pytest.fixture
def small(parts):
    return RuleBase(**parts)


@pytest.fixture
def parts_of_three(parts):
    """The same with a third input, which counts only while the loss falls."""
    fall = Variable(
        "loss_fall",
        -1.0,
        1.0,
        (
            Term("broken", "left_shoulder", (0.2, 0.6)),
            Term("kept", "right_shoulder", (0.2, 0.6)),
        ),
    )
    rules = []
    for rule in parts["rules"]:
        if rule.antecedent["loss_trend"] == "falling":
            broken = rule.consequent | {"gain_rate": "down"}
            rules.append(Rule(rule.antecedent | {"loss_fall": "kept"}, rule.then))
            rules.append(Rule(rule.antecedent | {"loss_fall": "broken"}, broken))
        else:
            rules.append(rule)
    return parts | {"inputs": (*parts["inputs"], fall), "rules": tuple(rules)}


@pytest.fixture
def small_of_three(parts_of_three):
    return RuleBase(**parts_of_three)
