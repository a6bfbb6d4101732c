"""Probes of the Hessian's diagonal against known Hessians."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.closure import ClosureGradients
from keras_fuzzyhess.measure.curvature import (
    diagonal_sample,
    hessian_vector_product,
    random_signs,
)
from tests.helpers import networks

SIZE = 20


def quadratic(seed=0, diagonal=False):
    """A weight, its loss `w . H w / 2`, and `H`, symmetric and dense."""
    rng = np.random.default_rng(seed)
    hessian = rng.normal(size=(SIZE, SIZE))
    hessian = (hessian + hessian.T) / 2 + np.diag(np.linspace(1.0, 3.0, SIZE))
    if diagonal:
        hessian = np.diag(np.diag(hessian))
    w = tf.Variable(rng.normal(size=SIZE))
    h = tf.constant(hessian)
    return w, lambda: tf.tensordot(w, tf.linalg.matvec(h, w), 1) / 2, hessian


def constant_step(w):
    return tf.fill(w.shape, tf.cast(0.01, w.dtype))


def sample(w, loss_fn, shift):
    closure = ClosureGradients(loss_fn, [w])
    gradients, _ = closure.at_weights()
    shifted, _ = closure([shift])
    return diagonal_sample(gradients, shifted, [shift])[0].numpy()


def mean_of_samples(w, loss_fn, shifts):
    return np.mean([sample(w, loss_fn, shift) for shift in shifts], axis=0)


def test_diagonal_hessian_is_exact_after_one_probe():
    w, loss_fn, hessian = quadratic(diagonal=True)
    seed = keras.random.SeedGenerator(0)
    for shift in (0.01 * random_signs([w], seed.next())[0], constant_step(w)):
        np.testing.assert_allclose(
            sample(w, loss_fn, shift), np.diag(hessian), rtol=1e-11
        )


@pytest.mark.slow
def test_random_signs_converge_to_the_diagonal_as_one_over_root_n():
    w, loss_fn, hessian = quadratic()
    seed = keras.random.SeedGenerator(0)
    counts = [16, 64, 256, 1024]
    shifts = [0.01 * random_signs([w], seed.next())[0] for _ in range(max(counts))]
    errors = [
        np.linalg.norm(mean_of_samples(w, loss_fn, shifts[:n]) - np.diag(hessian))
        for n in counts
    ]
    rate = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert -0.65 < rate < -0.35


def test_constant_step_converges_to_row_sums():
    w, loss_fn, hessian = quadratic()
    measured = mean_of_samples(w, loss_fn, [constant_step(w)] * 4)
    np.testing.assert_allclose(measured, hessian.sum(axis=1), rtol=1e-10)
    row_sum_error = np.linalg.norm(measured - np.diag(hessian))
    assert row_sum_error > 0.5 * np.linalg.norm(np.diag(hessian))


def test_random_signs_are_signs_and_independent():
    seed = keras.random.SeedGenerator(0)
    variables = [tf.Variable(tf.zeros((100, 100))), tf.Variable(tf.zeros((100, 100)))]
    a, b = random_signs(variables, seed.next())
    c, _ = random_signs(variables, seed.next())
    assert set(np.unique(a)) == {-1.0, 1.0}
    for other in (b, c):
        assert abs(np.mean(a * other)) < 0.05
    assert abs(np.mean(a)) < 0.05
    flat = np.ravel(a)
    for distance in (1, 2, 8, 16, 31, 32, 33):  # 32 signs come from one word
        assert abs(np.mean(flat[distance:] * flat[:-distance])) < 0.05


def test_random_signs_keep_the_dtype():
    seed = keras.random.SeedGenerator(0)
    (signs,) = random_signs([tf.Variable(tf.zeros(3, tf.float64))], seed.next())
    assert signs.dtype == tf.float64


def test_probe_equals_hessian_vector_product_on_a_network():
    """To first order in the radius: the difference falls tenfold with it."""
    model = networks.dense()
    x, y = networks.data(model)
    variables = networks.weights(model)

    def loss_fn():
        return networks.cross_entropy(y, model(x))

    signs = random_signs(variables, keras.random.SeedGenerator(0).next())
    exact = hessian_vector_product(loss_fn, variables, signs)
    closure = ClosureGradients(loss_fn, variables)
    gradients, _ = closure.at_weights()
    errors = []
    for radius in (0.1, 0.01):
        shifted, _ = closure([radius * z for z in signs])
        measured = [(s - g) / radius for s, g in zip(shifted, gradients, strict=True)]
        zeros = [tf.zeros_like(e) for e in exact]
        errors.append(networks.relative_error(measured, exact, zeros))
    assert errors[1] < 0.05
    assert errors[1] < 0.2 * errors[0]
