"""Where numbers might be divided by nothing, or overflow, all stays finite."""

import numpy as np
import tensorflow as tf

from tests.helpers import networks
from tests.helpers.fast import each_value_fast
from tests.helpers.small_training import OPTIMIZERS, compiled, either, fit


def train(optimizer, loss_fn, w, steps):
    @tf.function(autograph=False)
    def step():
        return optimizer.minimize(loss_fn, [w])

    for _ in range(steps):
        step()
    for variable in optimizer.variables:
        assert np.isfinite(variable.numpy()).all(), variable.path


COUNTS = [1, 1_000_000]
SCALES = [1e-8, 1e8]


def weights(count, scale):
    rng = np.random.default_rng(0)
    return tf.Variable(scale * rng.normal(size=count).astype("float32"))


@each_value_fast(scale=SCALES, count=COUNTS, name=OPTIMIZERS)
def test_weights_without_a_gradient_stay_where_they_are(name, count, scale):
    w, optimizer = weights(count, scale), OPTIMIZERS[name](weight_decay=0.1)
    start = w.numpy()
    train(optimizer, lambda: 3.0 + tf.reduce_sum(0.0 * w**2), w, steps=12)
    np.testing.assert_array_equal(w.numpy(), start)
    optimizer.finalize_variable_values([w])
    np.testing.assert_array_equal(w.numpy(), start)
    assert optimizer.diagnostics["probes"] > 3
    assert optimizer.diagnostics["skipped_steps"] == 0


@each_value_fast(unit=[1.0, "scale"], scale=SCALES, count=COUNTS, name=OPTIMIZERS)
def test_weights_of_any_number_and_scale_stay_finite(name, count, scale, unit):
    w, optimizer = weights(count, scale), OPTIMIZERS[name]()
    start, unit = w.numpy(), scale if unit == "scale" else unit
    train(optimizer, lambda: tf.reduce_sum(((w - scale) / unit) ** 2), w, steps=8)
    assert np.isfinite(w.numpy()).all()
    if unit == 1.0:  # SALO's steps are in units of the loss, and may vanish
        assert (w.numpy() != start).any()
    assert optimizer.diagnostics["skipped_steps"] == 0
    assert optimizer.diagnostics["dropped_probes"] == 0


@either
def test_one_sample_is_a_minibatch(name):
    model = compiled(OPTIMIZERS[name]())
    x, y = networks.data(model)
    fit(model, (x[:1], y[:1]), batch_size=1, epochs=12)
    for variable in [*model.variables, *model.optimizer.variables]:
        assert np.isfinite(variable.numpy()).all(), variable.path
    assert model.optimizer.diagnostics["skipped_steps"] == 0
