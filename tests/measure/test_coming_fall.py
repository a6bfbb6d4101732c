"""How much the loss still falls, and that swings which are small beside it go on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.coming_fall import ComingFall, averages_after

LONGEST = int(ComingFall.longest)


def value_after(losses, now=None, **constants):
    """In float32, as a training has it; `now` is the loss then, by default the last."""
    part = ComingFall(**constants)
    part.build([], keras.optimizers.SGD().add_variable)
    losses = tf.constant(losses, tf.float32)

    @tf.function
    def watch():
        for loss in losses:
            part.watch(loss)

    watch()
    return float(part.value(losses[-1] if now is None else tf.constant(now)))


@pytest.mark.parametrize("window", [2.0, 16.0])
def test_averages_are_weighted_means(window):
    """The `i`-th loss counts as about `i**(k - 1)`, for a window of `k`."""
    losses = np.random.default_rng(0).normal(size=400)
    averages, after = tf.zeros(4), tf.function(averages_after)
    for loss in losses:
        loss = tf.constant(loss, tf.float32)
        averages = after(averages, loss, window, 10.0, 1e4)
    assert float(averages[0]) == 400
    for power, average in zip((window, window / 2), averages[1:3], strict=True):
        weights = (np.arange(400) + power / 2) ** (power - 1)
        mean = np.average(losses, weights=weights)
        assert float(average) == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("slope", [1e-20, 0.3, 1e20])
@pytest.mark.parametrize("window", [8.0, 16.0])
def test_a_logarithm_goes_on(slope, window):
    """It falls by its slope while steps grow e-fold, at any scale and at any step."""
    steps = np.arange(1, 2000)
    for count in (500, 1999):
        losses = slope * (20 - np.log(steps[:count]))
        found = value_after(losses, share=1, window=window)
        np.testing.assert_allclose(found, slope, rtol=0.05)


def test_rounding_is_no_fall():
    """However long it trains: then less is seen, as averages span no more losses."""
    losses = 3 - 0.02 * np.log(np.arange(1, 10 * LONGEST))
    assert value_after(losses[:LONGEST], share=1) == pytest.approx(0.02, rel=0.2)
    assert value_after(losses, share=1) < 0.01


def test_a_loss_that_stays_has_no_fall_to_come_when_what_was_is_forgotten():
    """To the bit, for no other difference may be left to measure swings in."""
    for last in (0.763, 5.0):
        losses = np.r_[np.linspace(6, last, 1000), np.full(2 * LONGEST, last)]
        assert value_after(losses) == 0.0


def test_no_loss_falls_by_more_than_itself():
    """Where it falls by orders of magnitude, what it was says nothing of the rest."""
    losses = np.exp(-np.arange(1000) / 50)
    assert value_after(losses, share=1) == pytest.approx(losses[-1], rel=1e-5)


@pytest.mark.parametrize(
    "losses", [np.zeros(100), np.full(100, 3.0), np.arange(100.0), -np.ones(100)]
)
def test_what_does_not_fall_has_no_fall_to_come(losses):
    assert value_after(losses) < 1e-4  # rounding alone


@pytest.mark.parametrize("steps, most", [(100, 0.9), (1000, 0.3)])
def test_noise_is_small_beside_the_scatter(steps, most):
    """A constant loss of scatter 1 seems to fall by a fraction of that."""
    found = [
        value_after(np.random.default_rng(seed).normal(size=steps), now=10.0)
        for seed in range(20)
    ]
    assert 0 < np.mean(found) < most / 2
    assert np.quantile(found, 0.9) < most


@pytest.mark.parametrize("size", [1e2, 1e10, 1e38])
@pytest.mark.parametrize("every", [100, 2000])
def test_few_spikes_hardly_count(size, every):
    """Beside noise of 0.1, a fall of not much more than that is seen."""
    losses = 1 + 0.1 * np.random.default_rng(0).normal(size=2000)
    without = [value_after(losses[:count]) for count in (1100, 1500, 2000)]
    losses[1000::every] = size
    found = [value_after(losses[:count]) for count in (1100, 1500, 2000)]
    np.testing.assert_allclose(found, without, atol=0.01)


def test_other_data_are_followed():
    """Their losses are no outliers for long, even where those before were alike."""
    rng = np.random.default_rng(0)
    before, after = 1e-3 * rng.normal(size=1000), 2 + 0.1 * rng.normal(size=1000)
    averages, follow = tf.zeros(4), tf.function(averages_after)
    for loss in np.r_[before, after].astype("float32"):
        averages = follow(averages, loss, 16.0, 10.0, 1e4)
    assert float(averages[1]) == pytest.approx(2, abs=0.05)


def test_values_are_finite_for_losses_of_any_sign_and_size():
    for losses in ([1.0, -1.0] * 50, [3e38, 1.0, 1e-45], [-3e38, 3e38]):
        value = value_after(losses)
        assert np.isfinite(value) and value >= 0


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


def test_unknown_losses_are_not_watched():
    """In eager code there may be none, and zeros would stand for them."""
    w, optimizer = tf.Variable([1.0, 2.0]), FuzzyHess(seed=0)
    with pytest.warns(UserWarning, match="probes"):
        for _ in range(3):
            optimizer.apply([tf.ones(2)], [w])
    kept = {v.name: v.numpy() for v in optimizer.variables}
    assert kept["probes.coming_fall.losses"].tolist() == [0, 0, 0, 0]
