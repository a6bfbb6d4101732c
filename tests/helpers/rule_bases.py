"""Rule bases as users write them: our own data, and scikit-fuzzy's control systems."""

import dataclasses

import numpy as np
from skfuzzy import control, trapmf, trimf

from keras_fuzzyhess import RuleBase
from keras_fuzzyhess.fuzzy import (
    ControlSurface,
    Rule,
    Term,
    Variable,
    default_rule_base,
)

TRENDS = ("plunging", "sinking", "flat", "rising", "soaring")[::-1]
STAGES = ("dawn", "morning", "noon", "evening", "night")


def grid_of_terms(name, low, high, names):
    """Evenly spaced terms: shoulders at the ends, trapezoids between."""
    edges = np.linspace(low, high, 2 * len(names))
    terms = [Term(names[0], "left_shoulder", tuple(edges[1:3]))]
    for i, term in enumerate(names[1:-1], 1):
        terms.append(Term(term, "trapezoid", tuple(edges[2 * i - 1 : 2 * i + 3])))
    terms.append(Term(names[-1], "right_shoulder", tuple(edges[-3:-1])))
    return Variable(name, low, high, tuple(terms))


def five_by_five():
    rules = tuple(
        Rule(
            {"loss_trend": trend, "progress": stage},
            {"gain_rate": f"g{i}", "beta_3": f"b{j}"},
        )
        for i, trend in enumerate(TRENDS)
        for j, stage in enumerate(STAGES)
    )
    return RuleBase(
        "five by five",
        (
            grid_of_terms("loss_trend", -1, 1, TRENDS),
            grid_of_terms("progress", 0, 1, STAGES),
        ),
        (
            grid_of_terms("gain_rate", -0.03, 0.01, [f"g{i}" for i in range(5)]),
            grid_of_terms("beta_3", 0.85, 0.99, [f"b{i}" for i in range(5)]),
        ),
        rules,
    )


def constant_surface(rate):
    """Says the same in every situation."""
    return ControlSurface(
        "constant",
        {"loss_trend": [-1, 1], "progress": [0, 1]},
        {"gain_rate": [[rate] * 2] * 2, "beta_3": [[0.9] * 2] * 2},
    )


def five_terms_of_the_user(without=()):
    """A ControlSystem with five terms to an input, made by scikit-fuzzy's own means."""
    trend = control.Antecedent(np.linspace(-1, 1, 101), "loss_trend")
    progress = control.Antecedent(np.linspace(0, 1, 101), "progress")
    trend.automf(5, names=list(TRENDS))
    progress.automf(5, names=list(STAGES))
    rate = control.Consequent(np.linspace(-0.03, 0.02, 101), "gain_rate")
    beta_3 = control.Consequent(np.linspace(0.85, 0.99, 101), "beta_3")
    rate.automf(5, names=list(TRENDS))
    beta_3.automf(5, names=list(STAGES))
    return control.ControlSystem(
        [
            control.Rule(trend[t] & progress[s], [rate[t], beta_3[s]])
            for t in TRENDS
            for s in STAGES
            if (t, s) not in without
        ]
    )


def trapezoids_of_the_user():
    """A ControlSystem of trapezoids, under the direct law."""
    trend = control.Antecedent(np.linspace(-1, 1, 201), "loss_trend")
    trend["bad"] = trapmf(trend.universe, [-1, -1, -0.2, 0.2])
    trend["good"] = trapmf(trend.universe, [-0.2, 0.2, 1, 1])
    gain = control.Consequent(np.linspace(0, 2, 201), "gain")
    gain["half"] = trapmf(gain.universe, [0.2, 0.4, 0.6, 0.8])
    gain["whole"] = trapmf(gain.universe, [0.7, 0.9, 1.1, 1.3])
    beta_3 = control.Consequent(np.linspace(0.8, 0.99, 201), "beta_3")
    beta_3["usual"] = trimf(beta_3.universe, [0.85, 0.9, 0.95])
    return control.ControlSystem(
        [
            control.Rule(trend["bad"], [gain["half"], beta_3["usual"]]),
            control.Rule(trend["good"], [gain["whole"], beta_3["usual"]]),
        ]
    )


def evaluated(surface, trend, progress, falls=None):
    """What a surface says at all combinations of its two inputs, or three."""
    if falls is None:
        return surface.evaluate(trend, progress)
    layers = [surface.evaluate(trend, progress, fall) for fall in falls]
    return {
        name: np.stack([layer[name] for layer in layers], axis=-1)
        for name in surface.tables
    }


def without_loss_fall():
    """The default rule base as if the loss always fell as the trend promises."""
    base = default_rule_base()
    rules = []
    for rule in base.rules:
        antecedent = rule.antecedent
        if antecedent.pop("loss_fall", "kept") == "kept":
            rules.append(dataclasses.replace(rule, if_=antecedent))
    return dataclasses.replace(base, inputs=base.inputs[:2], rules=tuple(rules))
