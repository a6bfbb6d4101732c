"""Arguments of the constructor, and what else drives the learning rate."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tests.contract.problems import BATCHES, dense
from tests.contract.registry import holds_in
from tests.contract.training import COMPARED, FURTHER, fit, holds, minimize


@holds_in("gradient accumulation")
def gradient_accumulation(make):
    model = holds(lambda: make(gradient_accumulation_steps=2))
    assert int(model.optimizer.iterations) == (COMPARED + FURTHER) * BATCHES / 2


@holds_in("`clipnorm`")
def clipnorm(make):
    holds(lambda: make(clipnorm=0.1))


@holds_in("`global_clipnorm`")
def global_clipnorm(make):
    holds(lambda: make(global_clipnorm=0.1))


@holds_in("`clipvalue`")
def clipvalue(make):
    holds(lambda: make(clipvalue=0.02))


@holds_in("`loss_scale_factor`")
def loss_scale_factor(make):
    holds(lambda: make(loss_scale_factor=8.0))


@holds_in("`weight_decay`, with exclusions")
def weight_decay(make):
    """Decoupled: by itself it moves a weight by a share of the step really taken."""
    w, idle, excluded = (
        tf.Variable(values, name=name)
        for values, name in (([3.0] * 4, "w"), ([2.0], "idle"), ([2.0], "bias"))
    )
    optimizer = make(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[w], var_names=["bias"])
    before = w.numpy()
    optimizer.minimize(
        lambda: tf.reduce_sum(w**2) + 0.0 * (idle[0] + excluded[0]), [w, idle, excluded]
    )
    step = np.append(before - w.numpy(), [0.0, 0.0])
    rms = np.sqrt(np.mean(step**2))
    assert rms > 0
    np.testing.assert_allclose(idle.numpy(), 2.0 - 0.1 * rms * 2.0, rtol=1e-5)
    np.testing.assert_array_equal(excluded.numpy(), 2.0)

    def excluding():
        decaying = make(weight_decay=0.01)
        decaying.exclude_from_weight_decay(var_names=["bias"])
        return decaying

    holds(excluding)


@holds_in("`use_ema=True`")
def use_ema(make):
    model = holds(lambda: make(use_ema=True, ema_momentum=0.9))
    averages = model.optimizer._model_variables_moving_average
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average.numpy())


@holds_in("`use_ema=False`")
def without_ema(make):
    holds(lambda: make(use_ema=False))


@holds_in("learning-rate schedule")
def schedule(make):
    """When it has come to nothing, the weights stay where they are."""
    decay = keras.optimizers.schedules.CosineDecay(
        float(make().learning_rate), (COMPARED + FURTHER) * BATCHES
    )
    model = holds(lambda: make(learning_rate=decay, use_ema=False))
    before = model.get_weights()
    fit(model, dense().batches(), 1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def holds_at_rates(make, callback, rates):
    """With a callback in `fit`, compared with rates that are set by hand."""
    rate = float(make().learning_rate)

    def by_hand(model, epoch):
        model.optimizer.learning_rate = rate * rates[epoch]

    holds(
        make,
        train=functools.partial(fit, callbacks=[callback]),
        eager=functools.partial(minimize, before_epoch=by_hand),
    )


@holds_in("callback `LearningRateScheduler`")
def learning_rate_scheduler(make):
    rate, rates = float(make().learning_rate), (1.0, 0.2, 0.5, 1.0, 0.3)
    scheduler = keras.callbacks.LearningRateScheduler(
        lambda epoch: rate * rates[epoch % COMPARED]
    )
    holds_at_rates(make, scheduler, rates)


@holds_in("callback `ReduceLROnPlateau`")
def reduce_lr_on_plateau(make):
    """So large a `min_delta` that every epoch after the first is a plateau."""
    reduce = keras.callbacks.ReduceLROnPlateau(
        "loss", 0.5, patience=1, min_delta=10.0, min_lr=float(make().learning_rate) / 2
    )
    holds_at_rates(make, reduce, (1.0, 1.0, 0.5, 0.5, 0.5))
