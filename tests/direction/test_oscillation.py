"""How far gradients turn back, and how long they are remembered then."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Diagonal, OscillationMemory
from keras_fuzzyhess.direction.oscillation import momentum_of, oscillation
from keras_fuzzyhess.parts import Step, unbiased_rate_at


def built(**constants):
    memory = OscillationMemory(**constants)
    memory.build([], FuzzyHess().add_variable)
    return memory


def measured(gradients, momentum):
    """The mean oscillation of a row of gradients over its last half, step by step."""
    average, seen = np.zeros_like(gradients[0]), []
    for number, gradient in enumerate(gradients):
        rate = float(unbiased_rate_at(momentum, Step(tf.constant(number), [0])))
        average = average + rate * (gradient - average)
        agreement = np.sum(gradient * average) / np.sum(gradient**2)
        if number:
            seen.append(float(oscillation(tf.constant(agreement), rate)))
    return np.mean(seen[len(seen) // 2 :])


@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.98])
def test_it_is_one_for_opposed_and_zero_for_independent_gradients(momentum):
    """Whatever the memory, so that a longer one does not hide what asked for it."""
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=1000).astype("float32")
    opposed = [(-1) ** n * gradient for n in range(400)]
    assert measured(opposed, momentum) == pytest.approx(1, abs=1e-2)
    independent = rng.normal(size=(400, 1000)).astype("float32")
    assert measured(independent, momentum) == pytest.approx(0, abs=0.05)
    assert measured([gradient] * 400, momentum) < -1


def test_mixtures_lie_between():
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=1000)
    noise = rng.normal(size=(400, 1000))
    mixed = [(-1) ** n * gradient + noise[n] for n in range(400)]
    assert measured(mixed, 0.9) == pytest.approx(0.5, abs=0.05)


def test_the_memory_gets_longer_between_two_oscillations():
    memory = built(rate=1.0)
    for seen, momentum, share in (
        (0.25, 0.9, 0.2),
        (0.375, 0.9553, 0.11),
        (2, 0.98, 0.02),
    ):
        # The agreement of which the oscillation is this.
        memory.observe(tf.constant(0.1 - 0.9 * seen / 19), tf.constant(0.1))
        assert float(memory.value) == pytest.approx(seen, rel=1e-3)
        found = [float(x) for x in memory.momentum(0.9, 0.2)]
        assert found == pytest.approx([momentum, share], abs=1e-3)


def test_a_longer_memory_of_ones_own_is_kept():
    memory = built()
    memory._oscillation.assign(1.0)
    momentum, share = memory.momentum(0.99, 0.0)
    assert float(momentum) == pytest.approx(0.99)
    assert float(share) == 0


def test_without_momentum_it_may_begin():
    """`beta_1` of 0 remembers nothing, and so cannot tell what a gradient opposes."""
    assert float(momentum_of(tf.constant(0.0), 0.0, 0.98)) == 0
    memory = built()
    memory.observe(tf.constant(1.0), tf.constant(1.0))
    assert float(memory.value) == 0


@pytest.mark.parametrize("agreement", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_tells_nothing_or_its_bound(agreement):
    memory = built()
    memory.observe(tf.constant(agreement), tf.constant(0.1))
    assert abs(float(memory.value)) <= 2 * memory.rate


def trained(loss_of, steps=200):
    """The memory after so many steps, each along the gradient of a loss of its own."""
    direction = Diagonal(curvature_power=0.0, memory=OscillationMemory())
    optimizer = FuzzyHess(direction=direction, use_ema=False, seed=0)
    weights = tf.Variable(tf.ones(20))
    for number in range(steps):
        optimizer.minimize(lambda n=number: loss_of(weights, n), [weights])
    return optimizer.direction.memory


def test_a_valley_without_noise_gets_a_long_memory_and_noise_a_short_one():
    steepness = tf.constant(np.geomspace(1, 1e4, 20), tf.float32)
    valley = trained(lambda w, _: tf.reduce_sum(steepness * w**2))
    assert float(valley.value) > 0.5
    noise = tf.random.stateless_normal((200, 20), seed=(0, 0))
    noisy = trained(lambda w, number: tf.reduce_sum(noise[number] * w))
    assert abs(float(noisy.value)) < 0.25


def test_zeros_for_gradients_leave_it_as_it_is():
    memory = trained(lambda w, _: 0.0 * tf.reduce_sum(w), steps=3)
    assert float(memory.value) == 0


def test_weights_of_two_precisions_share_a_memory():
    single, double = tf.Variable(tf.ones(4)), tf.Variable(tf.ones(4, tf.float64))
    optimizer = FuzzyHess(seed=0)

    def loss():
        squares = tf.reduce_sum(single**2), tf.reduce_sum(double**2)
        return squares[0] + tf.cast(squares[1], tf.float32)

    for _ in range(5):
        optimizer.minimize(loss, [single, double])
    np.testing.assert_allclose(single, double, rtol=1e-5)
    assert float(single[0]) < 1


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"longest": 1.0}, "longest"),
        ({"opposed": 0.2}, "`opposed` must be more than `independent`"),
        ({"rate": 2.0}, "rate"),
    ],
)
def test_constants_out_of_their_range_are_refused(constants, said):
    with pytest.raises(ValueError, match=said):
        OscillationMemory(**constants)


def test_what_is_no_memory_is_refused():
    with pytest.raises(TypeError, match=r"`memory` must be .*OscillationMemory"):
        Diagonal(memory=0.98)


def test_it_is_saved_with_the_direction():
    optimizer = FuzzyHess(direction=Diagonal(memory=OscillationMemory(longest=0.95)))
    restored = FuzzyHess.from_config(optimizer.get_config())
    assert restored.direction.memory.longest == 0.95
    assert (
        restored.direction.memory.get_config()
        == optimizer.direction.memory.get_config()
    )
