"""A probe that is not finite is dropped, and the step is taken."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.measure.averaged_loss import AveragedLoss


class Unprobed(FuzzyHess):
    def _are_probes_due(self):
        return tf.constant(False)


def rooted(w, barrier):
    """Falls with `w`, and is NaN beyond the barrier."""
    return -tf.reduce_sum(tf.sqrt(barrier - w))


def test_a_curvature_probe_that_is_not_finite_is_dropped_and_the_step_taken():
    weights = []
    for make in (FuzzyHess, Unprobed):
        w, optimizer = tf.Variable(tf.zeros(8)), make(direction="diagonal", seed=0)
        for _ in range(4):
            optimizer.minimize(functools.partial(rooted, w, 0.005), [w])
        weights.append(w.numpy())
        expected = 2 if make is FuzzyHess else 0  # in the steps 0 and 2
        assert optimizer.diagnostics["dropped_probes"] == expected
        of_length = 1 if make is FuzzyHess else 0  # in the step 1
        assert optimizer.diagnostics["probes"] == expected + of_length
        assert optimizer.diagnostics["mean_curvature"] == 0
        assert optimizer.diagnostics["skipped_steps"] == 0
        for vector in optimizer.algorithm.curvature.scale([0]):
            assert not vector.numpy().any()
    np.testing.assert_array_equal(*weights)
    assert weights[0].all()


def test_salo_drops_a_probe_but_averages_the_loss():
    w, optimizer = tf.Variable(tf.zeros(8)), SALO(1e-6)
    losses = [
        optimizer.minimize(lambda: rooted(w, 0.005), [w]).numpy() for _ in range(3)
    ]
    assert optimizer.diagnostics["dropped_probes"] == 3
    assert optimizer.diagnostics["mean_curvature"] == 0
    (averaged,) = [
        float(v) for v in optimizer.variables if v.name == "probes.loss_slow"
    ]
    assert averaged == pytest.approx(np.mean(losses))
    assert w.numpy().all() and np.isfinite(w.numpy()).all()


def test_the_signs_of_a_dropped_probe_are_not_drawn_again():
    w, optimizer = tf.Variable(tf.zeros(8)), FuzzyHess(direction="diagonal", seed=0)
    optimizer.build([w])
    before = optimizer._seed_generator.state.numpy()
    optimizer.minimize(lambda: rooted(w, 0.005), [w])
    assert optimizer.diagnostics["dropped_probes"] == 1
    assert (optimizer._seed_generator.state.numpy() != before).any()


def test_a_loss_probe_that_is_not_finite_is_dropped():
    """The barrier follows the weights closer than their average does."""
    w, barrier = tf.Variable([10.0] * 4), tf.Variable([0.0] * 4)
    optimizer = FuzzyHess(2.0, seed=0, probe_interval=4, direction="diagonal")
    for _ in range(4):  # curvature at 0 and 2, the length by gradients at 1, loss at 3
        barrier.assign(w + 0.012)
        optimizer.minimize(
            lambda: tf.reduce_sum(w**2 + 0.0 * tf.sqrt(barrier - w)), [w]
        )
    assert optimizer.diagnostics["probes"] == 4
    assert optimizer.diagnostics["dropped_probes"] == 1
    assert optimizer.diagnostics["mean_curvature"] == pytest.approx(2.0, rel=1e-2)
    kept = [v for v in optimizer.variables if v.name.startswith("probes.averaged_loss")]
    assert len(kept) == len(AveragedLoss._fields) and not any(map(float, kept))
