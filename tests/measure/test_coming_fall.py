"""How much the loss still falls, and that swings which are small beside it go on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.coming_fall import (
    ComingFall,
    averages_after,
)


def value_after(losses, **constants):
    part = ComingFall(**constants)
    part.build([], keras.optimizers.SGD().add_variable)
    watch = tf.function(part.watch)
    for loss in np.asarray(losses, "float32"):
        watch(loss)
    return float(part.value)


@pytest.mark.parametrize("window", [2.0, 16.0])
def test_averages_are_weighted_means(window):
    """Of `n` losses the `i`-th counts as `i**(k - 1)`, nearly, for a window of `k`."""
    losses = np.random.default_rng(0).normal(size=50)
    averages, after = tf.zeros(3), tf.function(averages_after)
    for loss in losses:
        averages = after(averages, tf.constant(loss, tf.float32), window)
    late = early = 0.0
    for n, loss in enumerate(losses):
        late += window / (window + n) * (loss - late)
        early += (window / 2) / (window / 2 + n) * (loss - early)
    np.testing.assert_allclose(averages, [50, late, early], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("slope", [1e-20, 0.3, 1e20])
@pytest.mark.parametrize("window", [8.0, 16.0])
def test_a_logarithm_goes_on(slope, window):
    """It falls by its slope while steps grow e-fold, at any scale and at any step."""
    steps = np.arange(1, 2000)
    for count in (500, 1999):
        losses = slope * (20 - np.log(steps[:count]))
        found = value_after(losses, share=1, window=window)
        np.testing.assert_allclose(found, slope, rtol=0.05)


def test_no_loss_falls_by_more_than_itself():
    """Where it falls by orders of magnitude, what it was says nothing of the rest."""
    steps = np.arange(1, 1000)
    losses = np.exp(-steps / 50)
    late = 0.0
    for n, loss in enumerate(losses):
        late += 16 / (16 + n) * (loss - late)
    np.testing.assert_allclose(value_after(losses, share=1), late, rtol=1e-3)


@pytest.mark.parametrize(
    "losses", [np.zeros(100), np.full(100, 3.0), np.arange(100.0), -np.ones(100)]
)
def test_what_does_not_fall_has_no_fall_to_come(losses):
    assert value_after(losses) < 1e-4  # rounding alone


def test_noise_is_small_beside_the_scatter():
    """A constant loss of scatter 1 seems to fall by a fraction of that."""
    found = [
        value_after(np.random.default_rng(seed).normal(size=1000)) for seed in range(20)
    ]
    assert 0 < np.mean(found) < 0.3 and np.max(found) < 0.8


def test_values_are_finite_for_losses_of_any_sign_and_size():
    for losses in ([1.0, -1.0] * 50, [3e38, 1.0, 1e-45], [-3e38, 3e38]):
        assert value_after(losses) >= 0


def trained(share, seed):
    """Gain and loss after labels of digits, at random, were learned by heart."""
    images, labels = load_digits(return_X_y=True)
    x = (images[:1024] / 16).astype("float32")
    y = np.random.default_rng(0).permuted(labels[:1024])
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [keras.Input((64,)), dense(12, "relu"), dense(12, "relu"), dense(10)]
    )
    optimizer = FuzzyHess(constants={"coming_fall": {"share": share}})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss)
    model.fit(x, y, batch_size=256, epochs=60, verbose=0)
    return optimizer.diagnostics["gain"], model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_has_far_to_fall_takes_longer_steps(seed):
    """Minibatches of a quarter of the data hardly differ; swings beside them count."""
    (gain, loss), (longer, lower) = (
        trained(share, seed) for share in (0.0, ComingFall.share)
    )
    assert longer > 1.5 * gain
    assert lower < loss
