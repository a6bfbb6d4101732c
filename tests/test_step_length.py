"""How far the first step goes."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.step_length import (
    FIRST_LENGTH,
    LARGEST_GROWTH,
    LARGEST_SCALE,
    LARGEST_SHORTENING,
    LONGEST_SHARE,
    SMALLEST_SCALE,
    bounded_size,
    first_step_length,
    root_mean_square,
    shortening,
)

WEIGHTS = [tf.constant([3.0, -4.0]), tf.constant([[0.0], [0.5]])]
FLAT = np.array([3.0, -4.0, 0.0, 0.5])


def test_means_run_over_all_elements():
    np.testing.assert_allclose(root_mean_square(WEIGHTS), np.sqrt((FLAT**2).mean()))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_first_step_is_a_share_of_the_weights(scale):
    weights = [scale * w for w in WEIGHTS]
    expected = FIRST_LENGTH * scale * np.sqrt((FLAT**2).mean())
    np.testing.assert_allclose(first_step_length(weights), expected, rtol=1e-6)


def test_weights_that_begin_at_zero_move():
    length = first_step_length([tf.zeros(5)])
    np.testing.assert_allclose(length, FIRST_LENGTH * SMALLEST_SCALE, rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_weights_whose_squares_overflow_take_a_finite_step(dtype):
    length = first_step_length([tf.fill([5], tf.constant(1e30, dtype))])
    np.testing.assert_allclose(length, FIRST_LENGTH * LARGEST_SCALE, rtol=1e-6)


def test_a_sudden_size_is_bounded_and_a_lasting_one_followed():
    usual, bounded = tf.constant(0.0), []
    for size in [1.0] * 5 + [20.0] + [1.0] * 5 + [20.0] * 80:
        size, usual = bounded_size(tf.constant(size), usual)
        bounded.append(float(size))
    assert bounded[:5] == [1.0] * 5
    assert bounded[5] == LARGEST_GROWTH
    assert bounded[6] == 1.0
    assert bounded[-1] == 20.0


@pytest.mark.parametrize("slope", [1e-20, 1.0, 1e20])
def test_steps_that_go_too_far_are_shortened_whatever_the_unit_of_the_loss(slope):
    shares = np.array([-1.0, 0.0, LONGEST_SHARE, 0.8, 1.0, 1e6])
    factors = [float(shortening(slope, slope * (1 - share))) for share in shares]
    np.testing.assert_allclose(factors[:3], 1.0, rtol=1e-5)
    np.testing.assert_allclose(factors[3:5], [0.875**3, 0.7**3], rtol=1e-5)
    assert factors[5] == LARGEST_SHORTENING


@pytest.mark.parametrize("before", [0.0, -1.0])
def test_steps_of_which_the_minibatch_tells_nothing_are_left(before):
    for after in (-5.0, 0.0, 5.0):
        assert float(shortening(tf.constant(before), tf.constant(after))) == 1.0
