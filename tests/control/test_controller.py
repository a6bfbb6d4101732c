"""What the fuzzy system is told and what is done with its answer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.control.controller import (
    Controller,
    annealing_factor,
    controlled_gain,
    training_progress,
)
from keras_fuzzyhess.fuzzy import (
    control_surface,
    default_rule_base,
    paper_rule_base,
)
from keras_fuzzyhess.fuzzy.default_rules import GAIN_RATES
from keras_fuzzyhess.measure.loss_trend import (
    LossStatistics,
    LossTrend,
    loss_trend,
    observe_loss,
)
from tests.helpers.rule_bases import constant_surface

SLOWING = Controller.slowing
BOUNDS = (Controller.smallest_gain, Controller.largest_gain)


def trend_of(losses):
    statistics = LossStatistics(*(tf.constant(0.0) for _ in LossStatistics._fields))
    for loss in losses:
        statistics = observe_loss(
            statistics, tf.constant(loss, tf.float32), LossTrend.fast, LossTrend.slow
        )
    return float(loss_trend(statistics))


def test_trend_tells_falling_flat_and_rising():
    noise = np.random.default_rng(0).normal(size=300)
    slope = np.linspace(0.0, 1.0, 300)
    assert trend_of(5 - 20 * slope + 0.1 * noise) > 0.5
    assert trend_of(5 + 20 * slope + 0.1 * noise) < -0.5
    assert abs(trend_of(5 + noise)) < 0.5


def test_trend_does_not_depend_on_the_unit_of_the_loss():
    losses = 5 + np.random.default_rng(0).normal(size=100) - np.linspace(0, 3, 100)
    np.testing.assert_allclose(trend_of(losses), trend_of(1000.0 * losses), rtol=1e-3)


def test_trend_of_a_constant_loss_is_zero():
    assert trend_of([2.5] * 80) == 0.0
    assert trend_of([2.5]) == 0.0


def test_trend_stays_in_range():
    assert trend_of([1e6] * 50 + [1.0]) == 1.0
    assert trend_of([1.0] * 50 + [1e6]) == -1.0


def test_progress_with_and_without_a_plan():
    steps = tf.range(0, 5000, 100)
    for total_steps in (0, 1000):
        progress = (
            training_progress(steps[:, None], total_steps, 1000.0).numpy().ravel()
        )
        assert progress[0] == 0.0
        assert (np.diff(progress) >= 0).all()
        assert progress.max() <= 1.0
    assert float(training_progress(tf.constant(250), 1000, 1000.0)) == 0.25


def test_rate_law_is_bounded_and_direct_law_is_direct():
    up, down = {"gain_rate": tf.constant(0.05)}, {"gain_rate": tf.constant(-0.05)}
    gain = tf.constant(1.0)
    raised = controlled_gain(gain, up, 0, SLOWING, *BOUNDS)
    np.testing.assert_allclose(raised, np.exp(0.05), rtol=1e-6)
    for output, bound in zip((down, up), BOUNDS, strict=True):
        gain = tf.constant(1.0)
        for _ in range(200):
            gain = controlled_gain(gain, output, 0, SLOWING, *BOUNDS)
        np.testing.assert_allclose(gain, bound, rtol=1e-6)
    direct = {"gain": tf.constant(0.3)}
    assert float(controlled_gain(gain, direct, 0, SLOWING, *BOUNDS)) == np.float32(0.3)


def test_gain_travels_as_far_in_later_doublings_of_the_training():
    """A rate that lasts changes the gain by a power of the steps taken."""
    output, gains = {"gain_rate": tf.constant(0.005)}, {}
    gain = tf.constant(1.0)
    for step in range(6400):
        if step in (800, 1600, 3200):
            gains[step] = float(gain)
        gain = controlled_gain(gain, output, step, SLOWING, *BOUNDS)
    gains[6400] = float(gain)
    measured = [gains[2 * start] / gains[start] for start in (800, 1600, 3200)]
    expected = [
        ((SLOWING + 2 * start) / (SLOWING + start)) ** (0.005 * SLOWING)
        for start in (800, 1600, 3200)
    ]
    np.testing.assert_allclose(measured, expected, rtol=1e-3)


def controller(rate, **constants):
    made = Controller(constant_surface(rate), **constants)
    made.build([], keras.optimizers.SGD().add_variable)
    return made


@pytest.mark.parametrize(
    "rate, constants, gain",
    [
        (0.05, {}, np.exp(0.05 / 2)),
        (0.05, {"slowing": 25.0}, np.exp(0.05 / 5)),
        (0.05, {"largest_gain": 1.01}, 1.01),
        (-0.05, {"smallest_gain": 0.99}, 0.99),
    ],
)
def test_constants_say_how_far_the_gain_goes(rate, constants, gain):
    made = controller(rate, **constants)
    made.update(tf.constant(0.0), tf.constant(1.0), tf.constant(100))
    np.testing.assert_allclose(made.gain, gain, rtol=1e-6)


def test_the_gain_rises_only_while_the_loss_falls_as_the_trend_promises():
    gains = []
    for fall in (1.0, 0.0):
        made = Controller(control_surface(default_rule_base()))
        made.build([], keras.optimizers.SGD().add_variable)
        made.update(tf.constant(1.0), tf.constant(fall), tf.constant(0))
        gains.append(float(made.gain))
    np.testing.assert_allclose(gains, [np.exp(GAIN_RATES["raise"]), 1.0], rtol=1e-5)


@pytest.mark.parametrize("start", [0, 100])
def test_steps_get_shorter_in_a_line_to_the_end_of_a_plan_and_not_after_it(start):
    """The last quarter of what is planned, not of all steps."""
    total = start + 200
    steps = np.arange(start, total + 50)
    factors = [
        float(annealing_factor(tf.constant(n), start, total, 0.25)) for n in steps
    ]
    is_last = (steps > total - 50) & (steps < total)
    expected = np.where(is_last, (total - steps) / 50, 1.0)
    np.testing.assert_allclose(factors, expected, rtol=1e-5)
    assert min(factors) > 0


def test_the_last_steps_of_a_very_long_plan_are_short():
    """Where float32 does not tell one step from the next."""
    total = 2**31 - 1
    factors = [
        float(annealing_factor(tf.constant(total - n), 0, total, 0.3))
        for n in (1, 2, 99)
    ]
    np.testing.assert_allclose(factors, np.array([1, 2, 99]) / total / 0.3, rtol=1e-5)


@pytest.mark.parametrize(
    "start, total_steps, share",
    [(0, 0, 0.3), (90, 0, 0.3), (0, 200, 0.0), (0, 1, 0.3), (300, 200, 0.3)],
)
def test_steps_stay_as_they_are_where_no_share_of_a_plan_is_left(
    start, total_steps, share
):
    for n in (0, 1, 150, 199, 200, 2**30):
        assert float(annealing_factor(tf.constant(n), start, total_steps, share)) == 1.0


def test_rules_of_the_direct_law_shorten_steps_themselves():
    for rule_base, expected in ((paper_rule_base(), 1.0), (default_rule_base(), 0.5)):
        made = Controller(control_surface(rule_base), annealing=0.5)
        made.planned = 100
        made.build([], keras.optimizers.SGD().add_variable)
        assert float(made.shortening(tf.constant(-1.0), tf.constant(75))) == expected


def test_a_constant_says_when_progress_is_half_way():
    assert float(controller(0.0).progress(tf.constant(1000))) == 0.5
    assert float(controller(0.0, half_way=30.0).progress(tf.constant(30))) == 0.5


@pytest.mark.parametrize("constants", [{}, {"fast": 1.0}, {"slow": 0.5}])
def test_constants_say_how_fast_losses_are_followed(constants):
    trend = LossTrend(**constants)
    trend.build([], keras.optimizers.SGD().add_variable)
    fast = slow = deviation = 0.0
    for step, loss in enumerate([4.0, 2.0, 3.0, 2.5, 2.0, 1.0]):
        trend.observe(tf.constant(loss))
        change = abs(loss - slow) if step else 0.0
        fast += max(trend.fast, 1 / (step + 1)) * (loss - fast)
        slow_rate = max(trend.slow, 1 / (step + 1))
        slow += slow_rate * (loss - slow)
        deviation += slow_rate * (change - deviation)
    expected = np.clip((slow - fast) / deviation, -1, 1)
    np.testing.assert_allclose(trend.value, expected, atol=1e-5)
