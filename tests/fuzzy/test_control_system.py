"""Rule bases as control systems of scikit-fuzzy, and users' systems as surfaces."""

import gc
import re

import numpy as np
import pytest
from skfuzzy import control, trapmf, trimf
from skfuzzy.control.antecedent_consequent import Antecedent, Consequent
from skfuzzy.control.term import Term as SkfuzzyTerm

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import (
    compile_surface,
    control_surface,
    default_rule_base,
    paper_rule_base,
    surface_from_control_system,
)
from keras_fuzzyhess.fuzzy.signals import INPUTS, SIGNALS
from tests.helpers.rule_bases import evaluated


def system_of(trend_terms, progress_terms, rules=None):
    """A control system of the direct law; by default all pairs of terms have a rule."""
    trend = control.Antecedent(np.linspace(-1, 1, 81), "loss_trend")
    progress = control.Antecedent(np.linspace(0, 1, 41), "progress")
    gain = control.Consequent(np.linspace(0, 1, 51), "gain")
    beta_3 = control.Consequent(np.linspace(0.8, 0.99, 51), "beta_3")
    for variable, terms in ((trend, trend_terms), (progress, progress_terms)):
        for name, membership, points in terms:
            variable[name] = membership(variable.universe, points)
    for output in (gain, beta_3):
        low, high = output.universe[[0, -1]]
        middle = (low + high) / 2
        output["small"] = trimf(output.universe, [low, low, middle])
        output["large"] = trimf(output.universe, [middle, high, high])
    pairs = rules or [(t[0], p[0]) for t in trend_terms for p in progress_terms]
    return control.ControlSystem(
        [
            control.Rule(
                trend[t] & progress[p],
                [
                    gain["large" if t == trend_terms[-1][0] else "small"],
                    beta_3["large" if p == "late" else "small"],
                ],
            )
            for t, p in pairs
        ]
    )


THREE = [
    ("rising", trimf, [-1, -1, 0]),
    ("flat", trimf, [-1, 0, 1]),
    ("falling", trimf, [0, 1, 1]),
]
FIVE = [
    (f"t{i}", trimf, [centre - 0.5, centre, centre + 0.5])
    for i, centre in enumerate([-1.0, -0.5, 0.0, 0.5, 1.0])
]
STAGES = [("early", trimf, [0, 0, 1]), ("late", trimf, [0, 1, 1])]
TRAPEZOIDS = [
    ("early", trapmf, [0, 0, 0.3, 0.7]),
    ("late", trapmf, [0.3, 0.7, 1, 1]),
]


def simulated(system, trend, progress):
    simulation = control.ControlSystemSimulation(system)
    simulation.input["loss_trend"], simulation.input["progress"] = trend, progress
    simulation.compute()
    return {name: np.array(simulation.output[name]) for name in ("gain", "beta_3")}


@pytest.mark.parametrize(
    "terms", [(THREE, STAGES), (FIVE, STAGES), (THREE, TRAPEZOIDS)]
)
def test_surface_of_a_users_system_agrees_with_scikit_fuzzy(terms):
    system = system_of(*terms)
    surface = surface_from_control_system(system)
    rng = np.random.default_rng(0)
    trend, progress = rng.uniform(-1, 1, 300), rng.uniform(0, 1, 300)
    expected = simulated(system, trend, progress)
    for name, width in (("gain", 1.0), ("beta_3", 0.19)):
        found = np.array(
            [
                surface.evaluate([t], [p])[name].item()
                for t, p in zip(trend, progress, strict=True)
            ]
        )
        # A user's surface is only known at its knots; between them it may bend.
        assert np.abs(found - expected[name]).max() < 0.03 * width
        assert np.abs(found - expected[name]).mean() < 0.003 * width


def system_of_three(*names):
    """One of the rate law with these antecedents, each with three terms and rules."""
    rate = control.Consequent(np.linspace(-0.05, 0.05, 41), "gain_rate")
    beta_3 = control.Consequent(np.linspace(0.8, 0.99, 41), "beta_3")
    answers = ("poor", "average", "good")
    rate.automf(3, names=answers)
    beta_3.automf(3, names=answers)
    rules = []
    for shift, name in enumerate(names):
        signal = SIGNALS[name]
        antecedent = control.Antecedent(np.linspace(signal.low, signal.high, 41), name)
        antecedent.automf(3, names=answers)
        rules += [
            control.Rule(
                antecedent[term],
                [rate[answers[(number + shift) % 3]], beta_3[answers[2 - number]]],
            )
            for number, term in enumerate(answers)
        ]
    return control.ControlSystem(rules)


@pytest.mark.parametrize(
    "names",
    [
        ("loss_trend", "progress", "loss_fall"),
        ("loss_fall",),
        ("progress", "loss_fall"),
        ("loss_fall", "loss_trend"),
    ],
)
def test_surface_of_a_users_system_with_a_third_input(names):
    system = system_of_three(*names)
    surface = surface_from_control_system(system)
    assert list(surface.knots) == list(INPUTS)
    rng = np.random.default_rng(0)
    points = {
        name: rng.uniform(SIGNALS[name].low, SIGNALS[name].high, 200) for name in INPUTS
    }
    simulation = control.ControlSystemSimulation(system)
    for name in names:
        simulation.input[name] = points[name]
    simulation.compute()
    for output, width in (("gain_rate", 0.1), ("beta_3", 0.19)):
        expected = simulation.output[output]
        found = np.array(
            [
                float(surface.look_up(*point)[output])
                for point in zip(*points.values(), strict=True)
            ]
        )
        assert np.ptp(expected) > 0.2 * width
        assert np.abs(found - expected).max() < 0.03 * width
        assert np.abs(found - expected).mean() < 0.003 * width


def test_a_system_of_the_first_two_inputs_has_no_knots_for_the_third():
    surface = surface_from_control_system(system_of_three("progress"))
    assert list(surface.knots) == ["loss_trend", "progress"]


def test_optimizer_takes_a_control_system():
    optimizer = FuzzyHess(rule_base=system_of(THREE, STAGES))
    config = optimizer.get_config()["rule_base"]
    restored = FuzzyHess.from_config(optimizer.get_config())
    assert restored.get_config()["rule_base"] == config
    assert config["kind"] == "control_surface"


def test_sparse_system_is_refused_with_the_missing_cell():
    pairs = [(t[0], p[0]) for t in THREE for p in STAGES]
    pairs.remove(("falling", "late"))
    with pytest.raises(ValueError, match=r"(?s)falling.*late"):
        control_surface(system_of(THREE, STAGES, rules=pairs))


def test_wrong_names_are_refused():
    system = system_of(THREE, STAGES)
    next(iter(system.consequents)).label = "speed"
    with pytest.raises(ValueError, match="speed"):
        control_surface(system)
    system = system_of(THREE, STAGES)
    next(iter(system.antecedents)).label = "weather"
    with pytest.raises(
        ValueError, match="'loss_trend', 'progress' and 'loss_fall'.*weather"
    ):
        control_surface(system)


def with_universe(change):
    return lambda v: setattr(v, "universe", change(v.universe))


def with_memberships(change):
    return lambda v: [setattr(term, "mf", change(term.mf)) for term in v.terms.values()]


@pytest.mark.parametrize(
    "change, named",
    [
        (with_universe(lambda points: points[::-1]), "universe.*ascend"),
        (with_universe(lambda points: points * np.nan), "universe.*ascend.*nan"),
        (with_universe(lambda points: points[:1]), r"universe.*shape \(1,\)"),
        (with_universe(lambda points: points * 30), "range.*high=30.0"),
        (lambda variable: variable.terms.clear(), "must have terms"),
        (with_memberships(lambda mf: mf * 2), r"'small'.*\[0, 1\]"),
        (with_memberships(lambda mf: mf[1:]), r"'small'.*shape \(50,\)"),
    ],
)
def test_a_broken_variable_is_refused_by_name(change, named):
    system = system_of(THREE, STAGES)
    change(next(part for part in system.consequents if part.label == "gain"))
    with pytest.raises(ValueError, match="(?s)[Vv]ariable 'gain'") as refusal:
        surface_from_control_system(system)
    assert re.search(named, str(refusal.value), re.DOTALL)


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
def test_control_system_gives_the_same_surface(make):
    rule_base = make()
    ours = compile_surface(rule_base)
    theirs = surface_from_control_system(rule_base.to_control_system(101))
    grid = np.linspace(-1, 1, 21), np.linspace(0, 1, 21), np.linspace(-1, 1, 21)
    grid = grid[: len(rule_base.inputs)]
    ours, theirs = evaluated(ours, *grid), evaluated(theirs, *grid)
    for output in rule_base.outputs:
        difference = ours[output.name] - theirs[output.name]
        # Of three inputs a user's system has knots for a dozen cells each.
        share = {2: 0.02, 3: 0.04}[len(grid)]
        assert np.abs(difference).max() < share * (output.high - output.low)


def test_a_users_simulation_keeps_its_inputs():
    system = system_of(THREE, STAGES)
    simulation = control.ControlSystemSimulation(system)
    simulation.input["loss_trend"], simulation.input["progress"] = 0.25, 0.75
    simulation.compute()
    before = simulation.output["gain"]
    control_surface(system)
    simulation.compute()
    assert simulation.output["gain"] == before


def test_nothing_stays_alive_in_scikit_fuzzy():
    def kept():
        gc.collect()
        stores = [(Antecedent, "input"), (Consequent, "output")]
        stores += [(SkfuzzyTerm, "membership_value"), (SkfuzzyTerm, "cuts")]
        return sum(len(vars(owner)[name].data) for owner, name in stores)

    before = kept()
    for _ in range(5):
        control_surface(system_of(THREE, STAGES))
        default_rule_base().to_control_system(11)
    assert kept() == before
