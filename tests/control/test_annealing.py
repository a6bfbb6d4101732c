"""Steps get shorter near the end of a plan, and only there."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_fuzzyhess import SALO, FuzzyHess, FuzzyHessMonitor

PLAN = 200
FLAT, STEEP = 0.0, 10.0
"""Curvatures: weights run down a slope, ahead of their average, or swing around a
minimum that is elsewhere for each minibatch."""


def lengths_and_gains(steps, curvature, between=lambda n, optimizer: None, **arguments):
    """How far each step goes, in how many gains, and the gains.

    All gradients of the slope are alike. Those of the minimum, which is elsewhere for
    each minibatch, have nothing in common.
    """
    weight = keras.Variable(np.linspace(-0.5, 0.5, 20, dtype="float32"))
    optimizer = FuzzyHess(4.0, direction="adam", seed=0, **arguments)
    optimizer.build([weight])

    @tf.function
    def step(minimum):
        before = tf.identity(weight.value)
        with tf.GradientTape() as tape:
            away = weight.value - minimum
            loss = tf.reduce_sum(away + 0.5 * curvature * away**2)
            optimizer.scale_loss(loss)  # of linear losses it must be told
        optimizer.apply(tape.gradient(loss, [weight.value]), [weight])
        return tf.norm(weight.value - before), optimizer.algorithm.controller.gain

    minima = np.random.default_rng(0).normal(size=(steps, 20)).astype("float32")
    taken = []
    for n, minimum in enumerate(minima):
        between(n, optimizer)
        taken.append([float(x) for x in step(tf.constant(minimum))])
    lengths, gains = np.array(taken).T
    return lengths / gains, gains


def test_where_weights_swing_the_end_of_a_plan_holds_the_gain_and_shortens_steps():
    lengths, gains = lengths_and_gains(PLAN + 20, STEEP, total_steps=PLAN)
    planned = np.mean(lengths[100:140])
    assert 0.5 < np.mean(lengths[165:175]) / planned / 0.5 < 1.5
    assert np.mean(lengths[195:PLAN]) < 0.15 * planned
    assert np.mean(lengths[PLAN + 5 :]) > 0.5 * planned, "after it they are long again"
    held = gains[150:PLAN]
    np.testing.assert_array_equal(held, held[0])
    assert not np.array_equal(gains[120:140], np.full(20, gains[120]))


def test_what_was_seen_of_short_steps_is_not_held_against_later_ones():
    """After the plan the rules go on from what they knew before."""
    _, gains = lengths_and_gains(2 * PLAN, STEEP, total_steps=PLAN)
    assert 0.9 < gains[PLAN + 10] / gains[PLAN - 1] < 1.1
    _, unplanned = lengths_and_gains(2 * PLAN, STEEP)
    assert 0.5 < gains[-1] / unplanned[-1] < 2


def test_weights_that_are_ahead_go_on_to_the_end_of_a_plan():
    lengths, gains = lengths_and_gains(PLAN, FLAT, total_steps=PLAN)
    np.testing.assert_allclose(lengths[10:], lengths[10], rtol=1e-3)
    assert (np.diff(gains[20:]) > 0).all(), "steps get longer down a slope"


def test_without_a_plan_no_step_gets_shorter():
    lengths, _ = lengths_and_gains(PLAN, STEEP)
    assert np.mean(lengths[180:]) > 0.7 * np.mean(lengths[100:140])


@pytest.mark.parametrize("given_up", [False, True])
def test_a_plan_made_or_given_up_on_the_way_counts_from_there(given_up):
    """In a step that was traced without it."""

    def between(n, optimizer):
        if n == 100:
            optimizer.total_steps = PLAN
        if n == 185 and given_up:
            optimizer.total_steps = None

    lengths, _ = lengths_and_gains(PLAN, STEEP, between)
    share = np.mean(lengths[195:]) / np.mean(lengths[100:140])
    assert share > 0.5 if given_up else share < 0.2


def test_a_plan_of_a_later_fit_counts_from_where_it_was_made():
    """Else all steps of a short `fit` after a long one would be short."""

    def between(n, optimizer):
        if n % PLAN == 0:
            optimizer.total_steps = n + PLAN

    lengths, gains = lengths_and_gains(3 * PLAN, STEEP, between)
    for fit in range(3):
        of_fit = lengths[fit * PLAN : (fit + 1) * PLAN]
        assert np.mean(of_fit[-5:]) < 0.2 * np.mean(of_fit[70:130])
        assert len(set(gains[fit * PLAN + 40 : fit * PLAN + 130])) > 50, (
            "it is not held"
        )


@pytest.mark.parametrize("total_steps", [200, 1000])
def test_a_plan_that_is_made_again_goes_on(total_steps):
    """As by a script that starts anew. Python has but one of each small integer."""
    optimizer = FuzzyHess(total_steps=total_steps)
    optimizer.build([keras.Variable([1.0, 2.0])])
    controller = optimizer.algorithm.controller
    optimizer.iterations.assign(80)
    optimizer.total_steps = int(str(total_steps))
    assert int(controller.plan_start.numpy()) == 0
    optimizer.total_steps = total_steps + 1
    assert int(controller.plan_start.numpy()) == 80


def test_the_rules_of_salo_shorten_steps_and_nothing_else_does():
    """By default they are of the direct law."""
    optimizer = SALO(total_steps=10)
    optimizer.build([keras.Variable([1.0])])
    controller = optimizer.algorithm.controller
    assert float(controller.shortening(tf.constant(-1.0), tf.constant(9))) == 1.0


def interpolating(epochs, planned):
    """The loss of a network that can learn all digits, as `fit` leaves it."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x, y = (x[:500] / 16).astype("float32"), y[:500]
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(32, "tanh"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    model.compile(FuzzyHess(seed=0), "sparse_categorical_crossentropy")
    callbacks = [FuzzyHessMonitor(set_total_steps=True)] if planned else []
    model.fit(x, y, batch_size=20, epochs=epochs, verbose=0, callbacks=callbacks)
    return model.evaluate(x, y, verbose=0)


def test_a_plan_changes_nothing_where_the_loss_still_falls_at_its_end():
    """There the weights are ahead; to what the rules know of progress."""
    assert interpolating(8, planned=True) == pytest.approx(
        interpolating(8, planned=False), rel=0.2
    )


def test_a_plan_ends_lower_where_weights_swing_by_then():
    """By factors of 1.5 to 3, where it was tried."""
    assert interpolating(16, planned=True) < interpolating(16, planned=False)
