"""A training so short that it can be done ten thousand times."""

import numpy as np
import tensorflow as tf


def assert_trains(optimizer):
    """Five steps, on a loss with a bounded gradient; all that they make is finite."""
    x, y = tf.constant([[0.5, -1.0], [1.0, 2.0]]), tf.constant([1.0, -1.0])
    weights = [tf.Variable([0.5, -1.0]), tf.Variable(0.1)]

    def loss():
        error = tf.linalg.matvec(x, weights[0]) + weights[1] - y
        return tf.reduce_mean(tf.sqrt(1 + error**2))

    for _ in range(5):
        optimizer.minimize(loss, weights)
    for variable in [*weights, *optimizer.variables]:
        assert np.isfinite(variable.numpy()).all(), variable.name
