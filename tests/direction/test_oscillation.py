"""How far gradients turn back, and how long they are remembered then."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Diagonal, OscillationMemory
from keras_fuzzyhess.direction.oscillation import momentum_of, oscillation
from keras_fuzzyhess.parts import Step, unbiased_rate_at
from tests.helpers.rule_bases import constant_surface


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


@pytest.mark.parametrize("beta_1", [0.0, 0.98, 0.999])
def test_a_longer_memory_of_ones_own_is_kept_and_none_stays_none(beta_1):
    """And the last gradient's share, without which a longer one ends worse."""
    ends = []
    for memory in (OscillationMemory(), None):
        direction = Diagonal(beta_1, curvature_power=0.0, memory=memory)
        if memory is not None:
            assert not memory.changes(beta_1)
        optimizer = FuzzyHess(direction=direction, seed=0)
        weights = tf.Variable([1.0, -2.0, 3.0])
        for _ in range(30):
            optimizer.minimize(lambda w=weights: tf.reduce_sum(w**4), [weights])
        ends.append(weights.numpy())
    np.testing.assert_array_equal(*ends)


def test_a_share_that_is_smaller_stays():
    memory = built()
    memory._oscillation.assign(1.0)
    assert float(memory.momentum(0.9, 0.01)[1]) == pytest.approx(0.01)


def test_the_way_between_two_memories_begins_and_ends_at_them():
    ends = [float(momentum_of(tf.constant(way), 0.9, 0.98)) for way in (0.0, 1.0)]
    assert ends == pytest.approx([0.9, 0.98])


@pytest.mark.parametrize("agreement", [1.0, 1.0001, 0.9999])
def test_a_first_gradient_opposes_nothing(agreement):
    """Nor any where there is no momentum: what is left is rounding."""
    memory = built()
    memory.observe(tf.constant(agreement), tf.constant(1.0))
    assert float(memory.value) == 0


@pytest.mark.parametrize("agreement", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_tells_nothing(agreement):
    memory = built()
    memory.observe(tf.constant(agreement), tf.constant(0.1))
    assert float(memory.value) == 0


def test_one_step_counts_for_no_more_than_its_bound():
    memory = built(rate=0.5, strongest=3.0)
    memory.observe(tf.constant(-100.0), tf.constant(0.1))
    assert float(memory.value) == 1.5


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


def test_steps_with_a_long_memory_are_the_formula():
    """Gradients that turn back, drift and noise in them, with the gain held."""
    rng = np.random.default_rng(0)
    turning, drift = rng.normal(size=(2, 30))
    noise = 0.7 * rng.normal(size=(60, 30))
    rows = [(-1) ** n * turning + 0.02 * drift + noise[n] for n in range(60)]
    memory = OscillationMemory(rate=0.1)
    direction = Diagonal(curvature_power=0.0, memory=memory)
    optimizer = FuzzyHess(direction=direction, rule_base=constant_surface(0.0), seed=0)
    w, gradient = tf.Variable(np.ones(30)), tf.Variable(rows[0])

    expected, m, v, o, usual, momenta = np.ones(30), 0.0, 0.0, 0.0, 0.0, []
    for n, g in enumerate(rows):
        gradient.assign(g)
        optimizer.minimize(lambda: tf.reduce_sum(gradient * w + 0.0 * w**2), [w])
        k = np.clip((o - 0.25) / 0.25, 0, 1)
        beta, y = 1 - 0.1 * 0.2**k, 0.2 - 0.18 * k
        rate, rate_2 = (1 - beta) / (1 - beta ** (n + 1)), 0.1 / (1 - 0.9 ** (n + 1))
        before = m
        m, v = m + rate * (g - m), v + rate_2 * (g**2 - v)
        scale = np.sqrt(v) + 0.001 * np.mean(np.sqrt(v))
        if n:
            agreement = np.sum(g * before / scale**2) / np.sum((g / scale) ** 2)
            seen = np.clip(-(2 - rate) / rate * agreement, -2, 2)
            o += 0.1 * (seen - o)
        u = (m + y / (1 - y) * g) / scale
        size = np.sqrt(np.mean(u**2))
        usual = usual or size
        bounded = min(size, 1.5 * usual)
        usual += 0.1 * (bounded - usual)
        length = optimizer.diagnostics["step_length"] * bounded / size
        expected -= (1 - y) * length * np.clip(u, -3 * size, 3 * size)
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4, atol=1e-5)
        assert float(memory_of(optimizer).value) == pytest.approx(o, abs=1e-3)
        momenta.append(beta)
    assert min(momenta) == pytest.approx(0.9) and max(momenta) > 0.97
    assert len({round(momentum, 3) for momentum in momenta}) > 5, "and all between"


def fitted(epochs, **kwargs):
    """A small network that begins in the midst between both memories."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.compile(FuzzyHess(seed=0, use_ema=False), "mse", **kwargs)
    model.optimizer.build(model.trainable_variables)
    memory_of(model.optimizer)._oscillation.assign(0.4)
    fit(model, epochs)
    return model


def fit(model, epochs):
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model.fit(x, x[:, :4] ** 2, epochs=epochs, batch_size=16, shuffle=False, verbose=0)


def memory_of(optimizer):
    scaled = getattr(optimizer.direction, "scaled", optimizer.direction)
    return scaled.memory


def test_a_training_goes_on_with_the_memory_that_it_had(tmp_path):
    whole, half = fitted(4), fitted(2)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert float(memory_of(resumed.optimizer).value) > 0.25
    fit(resumed, 2)
    np.testing.assert_array_equal(resumed.get_weights()[0], whole.get_weights()[0])
    found = [float(memory_of(m.optimizer).value) for m in (resumed, whole)]
    assert found[0] == found[1]


def test_xla_comes_to_the_same():
    plain, compiled = fitted(2, jit_compile=False), fitted(2, jit_compile=True)
    found = [float(memory_of(m.optimizer).value) for m in (plain, compiled)]
    assert found[0] == pytest.approx(found[1], rel=1e-2)
    np.testing.assert_allclose(
        plain.get_weights()[0], compiled.get_weights()[0], rtol=1e-2, atol=1e-3
    )


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
        ({"strongest": 0.4}, "at most `strongest`"),
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
