"""The direction between Newton's and Adam's."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.direction import Diagonal
from keras_fuzzyhess.direction.preconditioner import clipped, preconditioner, scaled
from keras_fuzzyhess.state.outer_product import OuterProduct, dense, total

CLIP_FACTOR = Diagonal().clip_factor
CURVATURE_DAMPING, EPSILON = Diagonal().damping, Diagonal().epsilon
CURVATURE, SCALE = tf.constant([0.0, 1.0, 4.0]), tf.constant([1.0, 9.0, 0.25])
MEAN, MEAN_SCALE = np.mean(CURVATURE), np.mean(SCALE)


def scale_of(curvature, mean, gradient_scale, power):
    return preconditioner(
        curvature, mean, gradient_scale, power, CURVATURE_DAMPING, EPSILON
    )


every_power = pytest.mark.parametrize("power", [0, 0.25, 0.5, 0.75, 1])


def expected_scale(power):
    newton = MEAN_SCALE * (CURVATURE.numpy() / MEAN + CURVATURE_DAMPING) + EPSILON
    return newton**power * (SCALE.numpy() + EPSILON) ** (1 - power)


@every_power
def test_preconditioner_is_the_formula(power):
    (measured,) = scale_of([CURVATURE], tf.constant(MEAN), [SCALE], power)
    np.testing.assert_allclose(measured, expected_scale(power), rtol=1e-5)


@every_power
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_preconditioner_of_outer_products_is_the_formula_of_each_side(power, dtype):
    rng = np.random.default_rng(0)
    curvature, scale = (
        OuterProduct(*(tf.constant(rng.uniform(0.1, 2.0, n), dtype) for n in (4, 3)))
        for _ in range(2)
    )
    means = [total(factors) / 12 for factors in (curvature, scale)]
    (measured,) = scale_of([curvature], means[0], [scale], power)
    rows = curvature.rows + CURVATURE_DAMPING
    columns = means[1] * tf.cast(curvature.columns, "float32") / means[0]
    columns = tf.cast(columns + CURVATURE_DAMPING * means[1] + EPSILON, dtype)
    newton = np.outer(rows, columns)
    adam = np.outer(scale.rows + EPSILON, scale.columns + EPSILON)
    expected = newton**power * adam ** (1 - power)
    assert [side.dtype for side in measured] == [dtype, dtype]
    np.testing.assert_allclose(dense(measured), expected.ravel(), rtol=1e-5)


@every_power
def test_before_a_probe_outer_products_are_scaled_as_their_elements(power):
    curvature = OuterProduct(tf.zeros(2), tf.zeros(3))
    scale = OuterProduct(tf.constant([1.0, 0.5]), tf.constant([1.0, 2.0, 3.0]))
    mean = tf.constant(0.0)
    (measured,) = scale_of([curvature], mean, [scale], power)
    (expected,) = scale_of([dense(curvature)], mean, [dense(scale)], power)
    np.testing.assert_allclose(dense(measured), expected, rtol=1e-5)


@every_power
def test_preconditioner_is_positive_where_no_gradient_was_seen(power):
    """A row of an embedding that no minibatch had yet."""
    scale = OuterProduct(tf.constant([1.0, 0.0]), tf.constant([1.0, 2.0, 0.0]))
    curvature = OuterProduct(tf.constant([0.5, 0.0]), tf.constant([1.0, 0.0, 1.0]))
    mean = total(curvature) / 6
    (measured,) = scale_of([curvature], mean, [scale], power)
    assert all((side.numpy() > 0).all() for side in measured)


@every_power
def test_direction_is_the_momentum_over_it_whatever_the_units(power):
    """Means run over all tensors; neither unit of loss nor of curvature counts."""
    momentum = tf.constant([0.1, -1.0, 0.2])
    expected = momentum / expected_scale(power)
    bound = CLIP_FACTOR * np.sqrt(np.mean(expected**2))
    assert (np.abs(expected) < bound).all(), "nothing is clipped here"
    for unit, curvature_unit in ((1.0, 1.0), (100.0, 1.0), (1.0, 0.01)):
        parts = [
            [x[:1], x[1:]]
            for x in (unit * momentum, curvature_unit * CURVATURE, unit * SCALE)
        ]
        mean = tf.constant(curvature_unit * MEAN)
        scales = scale_of(parts[1], mean, parts[2], power)
        direction, size = clipped(scaled(parts[0], scales), CLIP_FACTOR)
        assert float(size) == pytest.approx(np.sqrt(np.mean(expected**2)))
        np.testing.assert_allclose(tf.concat(direction, 0), expected, rtol=1e-5)


@every_power
def test_without_curvature_all_weights_are_equally_curved(power):
    (measured,) = scale_of([tf.zeros(3)], tf.constant(0.0), [SCALE], power)
    newton = MEAN_SCALE * (1 + CURVATURE_DAMPING) + EPSILON
    expected = newton**power * (SCALE + EPSILON) ** (1 - power)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_clip_bounds_outliers_and_nothing_else():
    m = [tf.constant([0.1] * 50), tf.constant([100.0, -100.0])]
    rms = np.sqrt((50 * 0.1**2 + 2 * 100.0**2) / 52)
    direction, size = clipped(m, CLIP_FACTOR)
    assert float(size) == pytest.approx(rms)
    np.testing.assert_allclose(direction[0], m[0], rtol=1e-5)
    bound = CLIP_FACTOR * rms
    np.testing.assert_allclose(direction[1], [bound, -bound], rtol=1e-5)
