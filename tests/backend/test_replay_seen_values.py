"""The replay sees what the step saw, whatever has happened since."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.replay import GradientReplay
from tests.helpers.fast import each_value_fast

SHIFT = np.array([0.5, -0.25], np.float32)


def replays(function, w, calls=2):
    """Gradients of `function` at the shifted weights, as replayed and as computed.

    Replayed in every step and in a branch, without and with XLA, at the end of a step
    that then moves the weights.
    """

    def step(is_due):
        gradient, loss, after = function()
        after()
        replay = GradientReplay([gradient], loss, [w])
        in_branch = tf.cond(
            is_due, lambda: replay([SHIFT])[0][0], lambda: tf.zeros_like(w)
        )
        outside = replay([SHIFT])[0][0]
        at_zero = replay([0.0 * SHIFT])[0][0]
        w.assign_add([0.1, 0.1])
        return gradient, in_branch, outside, at_zero

    traced = tf.function(step, autograph=False)
    return [[x.numpy() for x in traced(tf.constant(True))] for _ in range(calls)]


def check(found, expected):
    for (gradient, in_branch, outside, at_zero), value in zip(
        found, expected, strict=True
    ):
        np.testing.assert_allclose(at_zero, gradient, rtol=1e-6)
        np.testing.assert_allclose(in_branch, value, rtol=1e-6)
        np.testing.assert_allclose(outside, value, rtol=1e-6)


def test_weights_that_change_before_the_optimizer_steps():
    """Clipped by hand, say: the gradient is of the weights before that."""
    w = tf.Variable([1.0, 2.0])

    def function():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**3)
        return tape.gradient(loss, w), loss, lambda: w.assign([7.0, 7.0])

    (first, second) = replays(function, w)
    check([first], [3 * (np.array([1.0, 2.0]) + SHIFT) ** 2])
    check([second], [3 * (np.array([7.1, 7.1]) + SHIFT) ** 2])


def test_sharpness_aware_minimization():
    """The gradient at weights that were moved for it, and moved back."""
    w = tf.Variable([1.0, 2.0])

    def function():
        w.assign_add([1.0, 1.0])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**3)
        gradient = tape.gradient(loss, w)
        w.assign_sub([1.0, 1.0])
        return gradient, loss, lambda: None

    found = replays(function, w, calls=1)
    check(found, [3 * (np.array([2.0, 3.0]) + SHIFT) ** 2])
    np.testing.assert_allclose(w, [1.1, 2.1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["function", "loop", "branch", "gather", "gather_nd"])
def test_another_network_that_steps_in_between(kind):
    w, other = tf.Variable([1.0, 2.0]), tf.Variable([2.0, 3.0])

    def read(x):
        if kind == "function":
            return tf.function(lambda x: x**2 * other)(x)
        if kind == "loop":
            _, y = tf.while_loop(
                lambda i, x: i < 2, lambda i, x: (i + 1, x * other), (0, x)
            )
            return y
        if kind == "branch":
            return tf.cond(x[0] > -9.0, lambda: x**2 * other, lambda: x)
        indices = tf.cast(tf.zeros_like(x), tf.int32)
        if kind == "gather":
            return x**2 * tf.gather(other, indices)
        return x**2 * tf.gather_nd(other, indices[:, tf.newaxis])

    def gradient_of(values):
        kept = other.numpy()
        other.assign(kept_other)
        w_now = tf.constant(values, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(w_now)
            loss = tf.reduce_sum(read(w_now) * w_now)
        other.assign(kept)
        return tape.gradient(loss, w_now)

    kept_other = other.numpy()

    def function():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(read(w) * w)
        return tape.gradient(loss, w), loss, lambda: other.assign_add([5.0, 5.0])

    found = replays(function, w, calls=1)
    check(found, [gradient_of(np.array([1.0, 2.0]) + SHIFT)])
    np.testing.assert_array_equal(other, [7.0, 8.0])


@each_value_fast(
    where=["function", "loop", "branch"], source=["SeedGenerator", "Generator"]
)
def test_noise_whose_state_moves_inside(source, where):
    """Drawn again from where the step drew it; afterwards the state has moved once."""
    w = tf.Variable([1.0, 2.0])
    generator = tf.random.Generator.from_seed(3)
    seeds = keras.random.SeedGenerator(3)
    state = generator.state if source == "Generator" else seeds.state.value

    def draw(shape):
        if source == "Generator":
            return generator.normal(shape)
        return keras.random.normal(shape, seed=seeds)

    def layer():
        if where == "function":
            return tf.function(lambda: w**2 * draw([2]))()
        if where == "branch":
            return tf.cond(w[0] > -9.0, lambda: w**2 * draw([2]), lambda: w)
        return tf.map_fn(lambda x: x**2 * draw([]), w)

    def function():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer())
        return tape.gradient(loss, w), loss, lambda: None

    before = state.numpy()
    found = replays(function, w)
    moved = state.numpy()
    assert (moved != before).any()
    for (gradient, in_branch, outside, at_zero), at in zip(
        found, ([1.0, 2.0], [1.1, 2.1]), strict=True
    ):
        expected = gradient / np.array(at) * (np.array(at) + SHIFT)
        np.testing.assert_allclose(in_branch, expected, rtol=1e-5)
        np.testing.assert_allclose(outside, expected, rtol=1e-5)
        np.testing.assert_allclose(at_zero, gradient, rtol=1e-5)
    assert (found[0][0] != found[1][0]).all(), "each step draws other noise"


def test_state_that_a_function_changes_moves_once():
    w, count = tf.Variable([1.0, 2.0]), tf.Variable(0.0)

    @tf.function
    def layer():
        count.assign_add(1.0)
        return w**2 * count

    def function():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer() + layer())
        return tape.gradient(loss, w), loss, lambda: None

    ((*_,), (gradient, in_branch, outside, at_zero)) = replays(function, w)
    assert float(count) == 4.0
    expected = 2 * (np.array([1.1, 2.1]) + SHIFT) * (3 + 4)
    np.testing.assert_allclose(in_branch, expected, rtol=1e-6)
    np.testing.assert_allclose(outside, expected, rtol=1e-6)
    np.testing.assert_allclose(at_zero, gradient, rtol=1e-6)


@pytest.mark.parametrize("in_branch", [True, False])
def test_python_code_is_called_again(in_branch):
    w = tf.Variable([1.0, 2.0])

    @tf.function(autograph=False)
    def step(is_due):
        with tf.GradientTape() as tape:
            cube = tf.py_function(lambda x: x**3, [w], tf.float32)
            rank = tf.numpy_function(np.argsort, [cube], tf.int64)
            loss = tf.reduce_sum(cube + tf.cast(rank, tf.float32) * w)
        gradient = tape.gradient(loss, w)
        replay = GradientReplay([gradient], loss, [w])
        if not in_branch:
            return replay([SHIFT])[0][0]
        return tf.cond(is_due, lambda: replay([SHIFT])[0][0], lambda: gradient)

    expected = 3 * (np.array([1.0, 2.0]) + SHIFT) ** 2 + np.array([0, 1])
    for _ in range(3):
        np.testing.assert_allclose(step(tf.constant(True)), expected, rtol=1e-6)


def test_python_code_that_draws_noise_is_noticed():
    w, rng = tf.Variable([1.0, 2.0]), np.random.default_rng(0)

    def noise(x):
        return x * rng.normal(size=2).astype("float32")

    def function():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**2 * tf.numpy_function(noise, [w], tf.float32))
        return tape.gradient(loss, w), loss, lambda: None

    with pytest.raises(tf.errors.InvalidArgumentError, match="hand it in"):
        replays(function, w, calls=1)


def test_noise_whose_distribution_depends_on_the_weights():
    """What is not differentiated is a constant; what has a seed is drawn again."""
    w = tf.Variable([1.0, 2.0])

    def function():
        with tf.GradientTape() as tape:
            counts = tf.random.poisson([], tf.stop_gradient(5.0 * w))
            gamma = tf.random.stateless_gamma([2], (1, 2), tf.exp(w))
            loss = tf.reduce_sum(w**2 * counts + gamma)
        return tape.gradient(loss, w), loss, lambda: None

    for gradient, in_branch, outside, at_zero in replays(function, w, calls=1):
        np.testing.assert_allclose(at_zero, gradient, rtol=1e-6)
        np.testing.assert_allclose(in_branch, outside, rtol=1e-6)
        assert (in_branch != gradient).all()
