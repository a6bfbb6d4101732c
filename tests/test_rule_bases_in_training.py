"""Whatever rule base a user writes drives a training, or is refused with its fault."""

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess, FuzzyHessMonitor, RuleBase
from keras_fuzzyhess.control.controller import Controller
from keras_fuzzyhess.fuzzy import Rule, Term, Variable, default_rule_base
from tests.helpers import networks
from tests.helpers.rule_bases import (
    five_by_five,
    five_terms_of_the_user,
    trapezoids_of_the_user,
    without_loss_fall,
)

EPOCHS = 8
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.py"


def trained(rule_base):
    """First and last loss, and the monitor's history, of a small training."""
    model = keras.Sequential(
        [keras.layers.Input((6,)), keras.layers.Dense(networks.CLASSES)]
    )
    optimizer = FuzzyHess(seed=0, rule_base=rule_base)
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 6)).astype("float32")
    y = (x @ rng.normal(size=(6, networks.CLASSES))).argmax(axis=1)
    monitor = FuzzyHessMonitor(every=1, set_total_steps=True)
    model.fit(x, y, batch_size=16, epochs=EPOCHS, verbose=0, callbacks=[monitor])
    return monitor.history


def assert_learns(history):
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def one_rule(rate):
    """A rule base that always says the same: one term everywhere, one rule."""
    gain_rate = Term("always", "triangle", (rate - 0.01, rate, rate + 0.01))
    beta_3 = Term("medium", "triangle", (0.85, 0.9, 0.95))
    return RuleBase(
        "constant",
        (
            Variable("loss_trend", -1, 1, (Term("any", "trapezoid", (-1, -1, 1, 1)),)),
            Variable("progress", 0, 1, (Term("any", "trapezoid", (0, 0, 1, 1)),)),
        ),
        (
            Variable("gain_rate", -0.1, 0.1, (gain_rate,)),
            Variable("beta_3", 0.8, 0.99, (beta_3,)),
        ),
        (Rule({"loss_trend": "any"}, {"gain_rate": "always", "beta_3": "medium"}),),
    )


@pytest.mark.parametrize("rate", [-0.03, 0.02])
def test_gain_goes_only_where_the_rules_send_it(rate):
    history = trained(one_rule(rate))
    changes = np.diff(np.log(history["gain"]))
    slowing = 1 + np.array(history["step"][:-1]) / Controller.slowing
    np.testing.assert_allclose(changes, rate / slowing, rtol=1e-3)
    np.testing.assert_allclose(history["beta_3"], 0.9, rtol=1e-4)


def gains_of_two_players(rule_base, steps=400):
    """One makes `x y` small, the other large, and both go round and round."""
    rng = np.random.default_rng(1)
    x, y = (tf.Variable(rng.normal(size=4).astype("float32")) for _ in range(2))
    noise = tf.Variable(tf.zeros(4))
    players = [FuzzyHess(seed=0, rule_base=rule_base) for _ in range(2)]

    def value():
        return tf.reduce_sum(x * y + noise * (x - y))

    @tf.function
    def first_moves():
        players[0].minimize(value, [x])

    @tf.function
    def second_moves():
        players[1].minimize(lambda: -value(), [y])

    for _ in range(steps):
        noise.assign(0.1 * rng.normal(size=4))
        first_moves()
        second_moves()
    return [player.diagnostics["gain"] for player in players]


def test_steps_do_not_grow_without_end_in_a_game():
    """Each is ahead of its average, and gets no further: the other follows."""
    assert max(gains_of_two_players(None)) < 10
    assert min(gains_of_two_players(without_loss_fall())) > 50


@pytest.mark.slow
def test_trains_the_network_of_the_quickstart():
    quickstart = runpy.run_path(str(QUICKSTART))
    (x, y), _ = quickstart["load_digits"]()
    model = quickstart["build_network"]()
    monitor = FuzzyHessMonitor(set_total_steps=True)
    model.compile(
        FuzzyHess(seed=0, rule_base=five_terms_of_the_user()),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    model.fit(
        x[:1600], y[:1600], batch_size=32, epochs=3, verbose=0, callbacks=[monitor]
    )
    assert_learns(monitor.history)


def test_direct_law_keeps_to_the_terms_of_the_user():
    gain = trained(trapezoids_of_the_user())["gain"]
    assert min(gain) > 0.49 and max(gain) < 1.01


def test_sparse_rule_base_is_refused_with_the_cell_that_is_missing():
    with pytest.raises(
        ValueError, match=r"Add a rule for loss_trend=flat, progress=noon"
    ):
        base = five_by_five()
        RuleBase(
            base.name,
            base.inputs,
            base.outputs,
            tuple(
                rule
                for rule in base.rules
                if rule.antecedent != {"loss_trend": "flat", "progress": "noon"}
            ),
        )


def test_sparse_control_system_is_refused_with_the_cell_that_is_missing():
    missing = {("flat", "noon")}
    with pytest.raises(ValueError, match="loss_trend=flat, progress=noon"):
        FuzzyHess(rule_base=five_terms_of_the_user(missing))


def resident_memory():
    """Of this process now, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def growth_by_optimizers(count):
    """MiB that `count` optimizers, each with its own rules, leave behind."""
    base = default_rule_base()
    for number in range(count + 50):
        if number == 50:  # what the first ones load and cache is no growth
            before = resident_memory()
        weight = 0.5 + 0.5 * number / (count + 50)
        rules = tuple(dataclasses.replace(rule, weight=weight) for rule in base.rules)
        FuzzyHess(rule_base=dataclasses.replace(base, rules=rules))
    return resident_memory() - before


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_thousand_optimizers_leave_no_memory_behind():
    """In a process of its own, where nothing else allocates."""
    code = (
        "from tests.test_rule_bases_in_training import growth_by_optimizers;"
        "print(growth_by_optimizers(1000))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    grown = float(result.stdout.split()[-1])
    assert grown < 50, f"{grown} MiB"
