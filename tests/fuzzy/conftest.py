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
