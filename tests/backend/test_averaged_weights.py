"""The moving average of the weights: what it is, and when it takes their place."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.measure.averaging_rate import Averaging
from tests.helpers import networks
from tests.helpers.fast import each_value_fast, first_fast
from tests.helpers.small_training import assert_same, compiled

MOMENTUM = 0.5

WINDOW = Averaging.window


class Path:
    """The weights after every step and their average, as one would write it down."""

    def __init__(self, weights):
        self.average, self.steps = weights, 0

    def add(self, weights):
        self.steps += 1
        if self.steps == 1:  # still where the step came from
            return
        rate = max(WINDOW / (WINDOW + self.steps - 2), 1 - MOMENTUM)
        self.average = (1 - rate) * self.average + rate * weights.astype("float64")


def averages(optimizer):
    return [v.numpy() for v in optimizer._model_variables_moving_average]


def flat(weights):
    return np.concatenate([np.ravel(w) for w in weights])


def fit(model, epochs=2, **kwargs):
    data = networks.data(model, batches=4)
    kwargs = {"batch_size": networks.BATCH, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(*data, epochs=epochs, **kwargs)


@each_value_fast(accumulated=[None, 3], use_ema=[True, False])
def test_average_is_the_formula(use_ema, accumulated):
    """Its rate falls until it reaches `1 - momentum`; minibatches do not count."""
    optimizer = FuzzyHess(
        seed=0,
        use_ema=use_ema,
        ema_momentum=MOMENTUM,
        gradient_accumulation_steps=accumulated,
    )
    model = compiled(optimizer)
    x, y = networks.data(model)
    path, every = Path(flat(model.get_weights())), accumulated or 1
    for minibatch in range(1, 40 * every + 1):
        model.train_on_batch(x, y)
        if minibatch % every == 0:
            path.add(flat(model.get_weights()))
        np.testing.assert_allclose(flat(averages(optimizer)), path.average, atol=1e-5)
    assert WINDOW / (WINDOW + path.steps) < 1 - MOMENTUM, "the momentum was reached"
    moved = np.abs(path.average - flat(model.get_weights())).max()
    assert moved > 1e-3, "the average differs from the weights"


@pytest.mark.parametrize("make", [FuzzyHess, FuzzyHess.salo])
def test_the_momentum_is_assigned_before_the_first_step_or_not_at_all(make):
    w, optimizer = tf.Variable([3.0]), make(use_ema=True, learning_rate=0.01)
    with pytest.raises(ValueError, match="`ema_momentum` must be in"):
        optimizer.ema_momentum = 1.5
    optimizer.ema_momentum = 0.0
    optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    (average,) = optimizer._model_variables_moving_average
    for _ in range(3):
        optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    np.testing.assert_array_equal(average, w)  # it has no memory
    with pytest.raises(AttributeError, match="before the first step.*new `"):
        optimizer.ema_momentum = 0.99
    assert optimizer.get_config()["ema_momentum"] == 0.0


def test_weights_without_a_gradient_keep_their_average():
    """And the others' averages do not depend on them."""

    def train(weights):
        optimizer = FuzzyHess(seed=0)
        for _ in range(8):
            optimizer.minimize(lambda: tf.reduce_sum(w**2), weights)
        return optimizer

    w, idle = tf.Variable([3.0, 1.0]), tf.Variable([2.0])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        together = averages(train([idle, w]))
    w.assign([3.0, 1.0])
    assert_same(together, [[2.0], *averages(train([w]))])


def test_fit_ends_with_the_averages():
    model = compiled(FuzzyHess(seed=0))
    raw = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: raw.append(flat(model.get_weights()))
    )
    fit(model, callbacks=[keep])
    assert_same(model.get_weights(), averages(model.optimizer))
    assert np.abs(flat(model.get_weights()) - raw[-1]).max() > 1e-3


@pytest.mark.slow
def test_fit_without_use_ema_takes_the_same_steps_and_ends_with_the_last():
    paths, ends = [], []
    for use_ema in (True, False):
        keras.utils.set_random_seed(0)
        model = compiled(FuzzyHess(seed=0, use_ema=use_ema))
        raw = []
        keep = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, raw=raw, model=model: raw.append(
                flat(model.get_weights())
            )
        )
        fit(model, epochs=8, callbacks=[keep])
        assert model.optimizer.diagnostics["loss_trend"] != 0
        paths.append(raw)
        ends.append(flat(model.get_weights()))
    assert_same(*paths)
    np.testing.assert_array_equal(ends[1], paths[1][-1])
    assert (ends[0] != ends[1]).any()


def test_nothing_takes_the_place_of_the_weights_before_the_first_step():
    model = compiled(FuzzyHess(seed=0))
    start = model.get_weights()
    fit(model, epochs=2, initial_epoch=2)
    assert_same(model.get_weights(), start)
    model.optimizer.build(model.trainable_variables)
    fit(model, epochs=2, initial_epoch=2)
    assert_same(model.get_weights(), start)

    model = compiled(FuzzyHess(seed=0, gradient_accumulation_steps=9))
    start = model.get_weights()
    fit(model, epochs=1)  # four minibatches of the nine
    assert_same(model.get_weights(), start)


@first_fast(frequency=[None, 1])
def test_a_single_step_is_not_undone_by_the_average(frequency):
    model = compiled(FuzzyHess(seed=0, ema_overwrite_frequency=frequency))
    start, x = flat(model.get_weights()), networks.data(model)
    model.fit(*x, batch_size=len(x[0]), verbose=0)
    assert int(model.optimizer.iterations) == 1
    assert_same(flat(averages(model.optimizer)), start)
    assert (flat(model.get_weights()) != start).all()


def test_weights_loaded_after_the_build_are_where_the_average_starts():
    model = compiled(FuzzyHess(seed=0))
    model.optimizer.build(model.trainable_variables)
    loaded = [w + 1 for w in model.get_weights()]
    model.set_weights(loaded)
    model.train_on_batch(*networks.data(model))
    np.testing.assert_allclose(flat(averages(model.optimizer)), flat(loaded), rtol=1e-6)


def test_layers_frozen_after_the_first_fit_keep_their_weights():
    """Keras pairs weights and averages in their order, which freezing breaks."""
    model = compiled(FuzzyHess(seed=0))
    fit(model)
    frozen, trained = model.layers
    frozen.trainable = False
    model.compile(model.optimizer, networks.cross_entropy, jit_compile=False)
    before = frozen.get_weights(), trained.get_weights()
    fit(model)
    assert_same(frozen.get_weights(), before[0])
    assert_same(trained.get_weights(), averages(model.optimizer)[2:])
    assert (trained.get_weights()[0] != before[1][0]).any()


@first_fast(swap_on_epoch=[True, False])
def test_swap_ema_weights_shows_the_averages_on_the_way(swap_on_epoch):
    """Validation sees the averages; training goes on with the weights."""
    validated = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            validated.append(flat(self.model.get_weights()))

        def on_test_begin(self, logs=None):
            validated.append(flat(self.model.get_weights()))

    def train(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(FuzzyHess(seed=0))
        data = {} if swap_on_epoch else {"validation_data": networks.data(model)}
        fit(model, epochs=3, callbacks=list(callbacks), **data)
        return flat(model.get_weights())

    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
    alone = train()
    swapped = train(swap, Spy())
    # Keras swaps by adding and subtracting, which rounds.
    np.testing.assert_allclose(swapped, alone, atol=1e-5)
    seen = validated[-1 if swap_on_epoch else -2]
    np.testing.assert_allclose(seen, alone, atol=1e-5)


def test_swap_ema_weights_keeps_the_weights_where_no_step_was_taken():
    model = compiled(FuzzyHess(seed=0))
    before = model.get_weights()
    x, y = networks.data(model)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    with pytest.warns(UserWarning, match="in a row"):
        model.fit(np.nan * x, y, batch_size=2, epochs=4, verbose=0, callbacks=[swap])
    assert int(model.optimizer.iterations) == 0
    assert_same(before, model.get_weights())


def test_early_stopping_that_restores_averages_ends_with_them():
    """With the two callbacks as the README places them."""
    kept = []

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(flat(self.model.get_weights()))

    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    stop = keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=1, restore_best_weights=True
    )
    model = compiled(FuzzyHess(seed=0))
    history = fit(model, epochs=9, callbacks=[swap, Keep(), stop])
    assert len(history.epoch) == 2, "the loss falls, so that the first epoch is best"
    np.testing.assert_array_equal(flat(model.get_weights()), kept[0])
