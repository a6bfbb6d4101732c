"""The parabola along the last step, on quadratics where it is known."""

import numpy as np
import tensorflow as tf

from keras_fuzzyhess.step_length import (
    length_of_shift,
    line_minimum,
    slope_and_curvature,
)

HESSIAN = tf.constant([[3.0, 1.0], [1.0, 2.0]])


def gradient(w):
    return tf.linalg.matvec(HESSIAN, w)


def test_length_is_the_exact_line_minimum():
    """From the point after a step, the best length of that step is found."""
    w, u = tf.constant([2.0, -1.0]), tf.constant([1.0, 0.5])
    taken, distance = tf.constant(0.4), tf.constant(0.3)
    now = w - taken * u
    slope, kappa = slope_and_curvature(
        tf.tensordot(gradient(now), u, 1),
        tf.tensordot(gradient(now - distance * u), u, 1),
        distance,
        taken,
    )
    u_h_u = np.dot(u, gradient(u))
    np.testing.assert_allclose(slope, np.dot(gradient(w), u), rtol=1e-5)
    np.testing.assert_allclose(kappa, u_h_u, rtol=1e-5)
    best = line_minimum(slope, kappa)
    np.testing.assert_allclose(np.dot(gradient(w - best * u), u), 0.0, atol=1e-5)


def test_negative_curvature_counts_by_its_size():
    """Here the slope rises on the way down."""
    slope, shifted_slope, distance = tf.constant([1.0, 1.1, 0.1])
    _, kappa = slope_and_curvature(slope, shifted_slope, distance, tf.constant(0.0))
    assert float(kappa) > 0


def test_length_of_shift_gives_the_radius():
    u = [tf.constant([3.0, 4.0]), tf.constant([[0.0, 0.0]])]
    length = length_of_shift(u, 0.01)
    shift = np.concatenate([np.ravel(length * x) for x in u])
    np.testing.assert_allclose(np.sqrt(np.mean(shift**2)), 0.01, rtol=1e-5)


def test_nothing_measured_gives_no_step():
    distance = length_of_shift([tf.zeros(2)], 0.01)
    assert float(distance) == 0.0
    zero = tf.constant(0.0)
    slope, kappa = slope_and_curvature(zero, zero, distance, zero)
    assert float(line_minimum(slope, kappa)) == 0.0
