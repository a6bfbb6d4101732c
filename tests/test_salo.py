"""The paper's optimizer, one step at a time against its formula."""

import numpy as np
import tensorflow as tf

from keras_fuzzyhess import SALO

HESSIAN = np.array([[3.0, -1.0], [-1.0, -2.0]])


def test_steps_are_the_formula():
    w = tf.Variable([1.0, -2.0], dtype=tf.float64)
    hessian = tf.constant(HESSIAN)
    optimizer = SALO(learning_rate=0.1, beta_1=0.9, epsilon=0.05)

    expected = w.numpy()
    m, d, weight = np.zeros(2), np.zeros(2), 0.0
    for step in range(1, 6):
        optimizer.minimize(
            lambda: tf.tensordot(w, tf.linalg.matvec(hessian, w), 1) / 2, [w]
        )
        decided = optimizer.diagnostics
        gradient = HESSIAN @ expected
        m = 0.9 * m + 0.1 * gradient
        # On a quadratic a constant step measures the row sums exactly.
        d = decided["beta_3"] * d + (1 - decided["beta_3"]) * HESSIAN.sum(axis=1)
        weight = decided["beta_3"] * weight + (1 - decided["beta_3"])
        scale = np.abs(d / weight) + 0.05
        expected -= 0.1 * decided["gain"] * m / (1 - 0.9**step) / scale
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5)
    assert decided["probes"] == 5
    assert decided["loss_fall"] == 1.0  # it has no average to promise anything
    np.testing.assert_allclose(
        decided["mean_curvature"], np.abs(HESSIAN.sum(axis=1)).mean(), rtol=1e-5
    )


def test_gain_follows_the_rules():
    """High while the loss falls early, low when it rises."""
    w = tf.Variable([1.0])
    sign = tf.Variable(1.0)
    optimizer = SALO(learning_rate=0.01)
    gains = []
    for direction in (1.0, -1.0):
        sign.assign(direction)
        for _ in range(60):
            # The offset moves the loss without moving the weight much.
            offset = float(optimizer.iterations) if optimizer.built else 0.0
            optimizer.minimize(
                lambda o=offset: tf.reduce_sum(w**2) - sign * o + 60.0 * (1 - sign), [w]
            )
        gains.append(optimizer.diagnostics["gain"])
    assert gains[0] > 2 * gains[1]
