"""Whether the loss at the averaged weights falls as the weights' lead promises."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy.default_rules import KEPT, STALLED
from keras_fuzzyhess.measure.averaged_loss import (
    AveragedLoss,
    AveragedLossTrend,
    averaged_loss_fall,
    observe_averaged_loss,
    promised_fall,
)
from keras_fuzzyhess.measure.averaging_rate import Averaging, averaging_rate
from keras_fuzzyhess.measure.coming_fall import ComingFall
from keras_fuzzyhess.measure.probe_schedule import ProbeSchedule

SLOWEST, STRONGEST = AveragedLossTrend.slowest, AveragedLossTrend.strongest
STEPS = 20_000
STEP = np.arange(STEPS)


@tf.function
def taken_in(statistics, loss, averaged_loss, promised):
    slowest_fall = SLOWEST * promised / AveragedLossTrend.most_promised
    statistics = observe_averaged_loss(
        statistics,
        loss,
        averaged_loss,
        tf.constant(1.0),
        0.0,
        SLOWEST,
        AveragedLossTrend.recent,
        AveragedLossTrend.most_of_recent,
        AveragedLossTrend.difference_share,
        STRONGEST,
        AveragedLossTrend.early,
        slowest_fall,
    )
    return statistics, averaged_loss_fall(
        statistics, promised, slowest_fall, AveragedLossTrend.doubt
    )


def falls(losses, averaged, promised=0.5):
    """What is said after each probe."""
    statistics = AveragedLoss(*(tf.constant(0.0),) * len(AveragedLoss._fields))
    found = []
    for pair in zip(losses, averaged, strict=True):
        pair = (tf.constant(loss, tf.float32) for loss in pair)
        statistics, fall = taken_in(statistics, *pair, tf.constant(promised))
        found.append(float(fall))
    return np.array(found)


def plain_falls(losses, averaged, promised):
    """The same, as it is described."""
    lead = fall = root = 0.0
    found = [1.0]
    for count in range(1, len(losses)):
        rate = max(SLOWEST * promised / 0.5, 1 / count)
        now = averaged[count - 1] - averaged[count]
        lead = (1 - rate) * lead + rate * (averaged[count] - losses[count])
        most = STRONGEST * (root + np.sqrt(abs(lead)))
        root = (1 - rate) * root + rate * min(np.sqrt(abs(now)), most)
        most = STRONGEST * (root**2 + abs(lead))
        fall = (1 - rate) * fall + rate * np.clip(now, -most, most)
        share = (fall + 1.5 * rate * root**2) / (promised * lead)
        found.append(np.clip(share, -1, 1) if count > 1 and lead > 0 else 1.0)
    return np.array(found)


@pytest.mark.parametrize("promised", [0.2, 0.5])
def test_it_is_the_mean_fall_by_what_the_mean_lead_promises(promised):
    rng = np.random.default_rng(0)
    averaged = 5 - 0.005 * np.arange(80) + 0.5 * rng.normal(size=80)
    averaged[[20, 50]] += 40.0  # both the rise and the fall that follows are bounded
    losses = averaged - 0.4 + rng.normal(size=80)
    expected = plain_falls(losses, averaged, promised)
    inside = np.abs(expected) < 1
    assert 10 < inside.sum() < 75 and (expected[inside] < 0).any()
    np.testing.assert_allclose(falls(losses, averaged, promised), expected, atol=1e-3)


def test_nothing_is_promised_before_the_third_probe_or_without_a_lead():
    standing = np.full(6, 3.0)
    np.testing.assert_array_equal(falls(standing - 1, standing), [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(falls(standing + 1, standing), 1.0)
    np.testing.assert_array_equal(falls(standing, standing), 1.0)
    rising = standing + np.arange(6)
    np.testing.assert_array_equal(falls(rising + 1, rising), 1.0)
    said = falls(rising - 1, rising)
    np.testing.assert_array_equal(said, [1, 1, -0.5, -1, -1, -1])


def test_a_loss_that_rises_once_breaks_no_promise():
    """As where the data change: however far it rises, that counts for little."""
    before, after = 10 - 0.5 * np.arange(12), 10 - 0.5 * np.arange(12, 40)
    said = []
    for height in (100.0, 1e4):
        averaged = np.append(before, after + height)
        said.append(falls(averaged - 1, averaged))
    np.testing.assert_allclose(*said, atol=1e-2)
    assert STALLED < said[0].min() == said[0][12] < 1
    assert np.sum(said[0] < KEPT) <= 2


@pytest.mark.parametrize("height", [10.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("probes", [2, 30])
def test_a_loss_that_falls_once_and_then_stands_is_found_out_soon(height, probes):
    """As where it began with a penalty, or a few minibatches were outliers."""
    noise = 0.3 * np.random.default_rng(0).normal(size=100)
    averaged = noise + np.where(np.arange(100) < probes, height, 0.0)
    said = falls(averaged - 1, averaged)
    assert (said[probes + 30 :] < STALLED).mean() > 0.9


@functools.cache
def loss_probes(interval):
    due = ProbeSchedule(interval).due

    @tf.function
    def on_each_step():
        steps = tf.range(STEPS)
        return tf.map_fn(lambda s: due(s).loss, steps, fn_output_signature=tf.bool)

    return np.flatnonzero(on_each_step())


def at_probes(loss, interval=10, window=Averaging.window):
    """Losses at the weights and at their average, where it is linear between them."""
    average, averaged = loss[0], [loss[0]]
    rates = averaging_rate(STEP, 0, 0.999, window).numpy()
    for rate, at_weights in zip(rates, loss[1:], strict=False):
        average += rate * (at_weights - average)
        averaged.append(average)
    probes = loss_probes(interval)
    probes = probes[probes > 2]  # until then the average is equal to the weights
    return loss[probes], np.array(averaged)[probes]


STEADY = {
    "linear": -0.01 * STEP,
    "a power": (1.0 + STEP) ** -0.5,
    "another power": (10.0 + STEP) ** -1.0,
    "a logarithm": -np.log(10.0 + STEP),
    "exponential": np.exp(-STEP / 3000),
}
each_steady_loss = pytest.mark.parametrize("loss", STEADY.values(), ids=STEADY)


@each_steady_loss
@pytest.mark.parametrize("interval, window", [(10, 20.0), (2, 20.0), (50, 5.0)])
def test_a_loss_that_falls_steadily_keeps_its_promise(loss, interval, window):
    losses, averaged = at_probes(loss, interval, window)
    assert (losses < averaged)[1:].all()
    promised = promised_fall(interval, ProbeSchedule.thinning, window)
    promised = min(promised, AveragedLossTrend.most_promised)
    assert falls(losses, averaged, promised).min() > KEPT


@each_steady_loss
def test_minibatches_that_differ_hardly_hide_that_it_falls(loss):
    losses, averaged = at_probes(loss)
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=len(losses))
        noise *= averaged - losses  # as much as the weights are ahead
        said = falls(losses + noise, averaged + noise)
        assert np.mean(said < KEPT) < 0.05


def test_a_loss_that_stands_is_found_out_though_minibatches_differ():
    """While the weights are ahead by as much as minibatches scatter."""
    said = []
    for seed in range(15):
        noise = np.random.default_rng(seed).normal(size=100)
        said.append(falls(noise - 1, noise))
        assert said[-1][:30].min() < STALLED
    assert np.mean(np.array(said)[:, 30:] < KEPT) > 0.7


def test_no_more_is_promised_than_a_steady_loss_can_keep():
    assert promised_fall(interval=2, thinning=400.0, window=20.0) == 0.1
    assert promised_fall(interval=4, thinning=400.0, window=20.0) == 0.2
    # Between two probes a linear loss falls by at least that share of the lead.
    for interval in (2, 4, 10):
        losses, averaged = at_probes(STEADY["linear"], interval)
        share = -np.diff(averaged) / (averaged - losses)[1:]
        assert share.min() > promised_fall(interval, 400.0, 20.0)


def test_no_more_is_asked_for_than_the_constant_says():
    """And the averages are as slow as the share that is asked for is small."""
    for promised, most, asked in [(9.0, 0.5, 0.5), (9.0, 0.25, 0.25), (0.1, 0.5, 0.1)]:
        trend = AveragedLossTrend(promised, most_promised=most)
        trend.build([], FuzzyHess().add_variable)
        statistics = AveragedLoss(*(tf.constant(0.0),) * len(AveragedLoss._fields))
        for loss in -0.1 * np.arange(40.0):
            pair = tf.constant(loss - 1, tf.float32), tf.constant(loss, tf.float32)
            statistics = trend.observed(*pair, tf.constant(1.0), 0.0)
            trend.keep(statistics, tf.constant(True))
        rate = max(1 / 38, 0.1 * asked / most)
        expected = min(0.1 * (1 + 1.5 * rate) / asked, 1.0)
        assert float(trend.fall()) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("share, least_trend", [(0.0, 1.0), (ComingFall.share, 0.3)])
@pytest.mark.parametrize("falls_too, said", [(True, 1.0), (False, 0.0)])
def test_the_gain_rises_only_where_the_loss_falls_too(
    falls_too, said, share, least_trend
):
    """Weights go down a slope, which is lifted as fast as their average follows."""
    w, lift = tf.Variable([0.0] * 4), tf.Variable(0.0)
    constants = {"coming_fall": {"share": share}}
    optimizer = FuzzyHess(seed=0, probe_interval=4, constants=constants)
    assert optimizer.diagnostics["loss_fall"] == 1.0

    @tf.function
    def step():
        optimizer.minimize(lambda: lift - tf.reduce_sum(w), [w])

    gains = []
    for number in range(100):
        step()
        gains.append(optimizer.diagnostics["gain"])
        if not falls_too:
            (average,) = optimizer._model_variables_moving_average
            lift.assign(tf.reduce_sum(average) + 1e-6 * number)
    assert least_trend <= optimizer.diagnostics["loss_trend"] <= 1.0
    assert optimizer.diagnostics["loss_fall"] == pytest.approx(said, abs=0.2)
    assert (gains[-1] > 2 * gains[20]) == falls_too
    assert (gains[-1] == gains[20]) != falls_too
