"""The direction between Newton's and Adam's."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.direction import clip_to_root_mean_square, preconditioner

CURVATURE, SCALE = tf.constant([0.0, 1.0, 4.0]), tf.constant([1.0, 9.0, 0.25])


@pytest.mark.parametrize("power", [0, 0.25, 0.5, 0.75, 1])
def test_preconditioner_is_the_formula(power):
    mean = tf.constant(5.0 / 3)
    measured = preconditioner(CURVATURE, mean, SCALE, power)
    expected = (CURVATURE + 0.1 * mean + 1e-8) ** power * (SCALE + 1e-8) ** (1 - power)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_clip_bounds_outliers_and_nothing_else():
    u = [tf.constant([0.1] * 50), tf.constant([[100.0, -100.0]])]
    rms = np.sqrt((50 * 0.1**2 + 2 * 100.0**2) / 52)
    clipped = clip_to_root_mean_square(u, 3.0)
    np.testing.assert_array_equal(clipped[0], u[0])
    np.testing.assert_allclose(clipped[1], [[3 * rms, -3 * rms]], rtol=1e-5)
