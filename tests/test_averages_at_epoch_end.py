"""What callbacks see and save beside `AveragesInValidation`, and after an interrupt."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, AveragesInValidation, FuzzyHess, averages_in
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, compiled

OPTIMIZERS = {
    "FuzzyHess": lambda: FuzzyHess(seed=0),
    "Adam": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
}
either = pytest.mark.parametrize("optimizer", OPTIMIZERS)
each = pytest.mark.parametrize(
    "make",
    [*OPTIMIZERS.values(), lambda: SALO(use_ema=True)],
    ids=[*OPTIMIZERS, "SALO"],
)


class Spy(keras.callbacks.Callback):
    """The weights at each event of a training."""

    def __init__(self):
        super().__init__()
        self.seen = {"batch": [], "test": [], "epoch": []}

    def on_train_batch_end(self, batch, logs=None):
        self.seen["batch"].append(self.model.get_weights())

    def on_test_batch_end(self, batch, logs=None):
        self.seen["test"].append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.seen["epoch"].append(self.model.get_weights())


class Interrupt(keras.callbacks.Callback):
    """Once, in the second epoch."""

    def __init__(self, event):
        super().__init__()
        self.epoch, self.event = 0, event

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_test_batch_end(self, batch, logs=None):
        if self.event == "validation" and self.epoch == 1:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.event == "end of an epoch" and epoch == 1:
            raise KeyboardInterrupt


def model_of(make):
    keras.utils.set_random_seed(0)
    return compiled(make())


def fit(model, *callbacks, epochs=3, **kwargs):
    x, y = networks.data(model, batches=4)
    kwargs = {"validation_data": (x, y), "shuffle": False, "verbose": 0} | kwargs
    return model.fit(
        x, y, epochs=epochs, batch_size=16, callbacks=list(callbacks), **kwargs
    )


def assert_differ(a, b):
    assert any((one != other).any() for one, other in zip(a, b, strict=True))


@first_fast(validation_freq=[1, 2])
@first_fast(optimizer=OPTIMIZERS)
def test_callbacks_behind_see_averages_and_those_before_see_weights(
    validation_freq, optimizer
):
    make, settings = OPTIMIZERS[optimizer], {"validation_freq": validation_freq}
    before, behind, alone = Spy(), Spy(), Spy()
    fit(model_of(make), before, AveragesInValidation(), behind, **settings)
    fit(model_of(make), alone, **settings)
    for got, expected in zip(before.seen["batch"], alone.seen["batch"], strict=True):
        assert_same(got, expected)
    for got, expected in zip(before.seen["epoch"], alone.seen["epoch"], strict=True):
        assert_same(got, expected)
    for got, weights in zip(behind.seen["epoch"], alone.seen["epoch"], strict=True):
        assert_differ(got, weights)
    if validation_freq == 1:
        validated = behind.seen["test"][::4]  # of four minibatches each
        for got, expected in zip(behind.seen["epoch"], validated, strict=True):
            assert_same(got, expected)


@either
def test_what_was_validated_is_restored_and_saved(optimizer, tmp_path):
    """The loss is to be as large as can be, so that the first epoch is the best."""
    file = tmp_path / "best.weights.h5"
    model = model_of(OPTIMIZERS[optimizer])
    kwargs = {"monitor": "val_loss", "mode": "max"}
    history = fit(
        model,
        AveragesInValidation(),
        keras.callbacks.ModelCheckpoint(
            file, save_best_only=True, save_weights_only=True, **kwargs
        ),
        keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True, **kwargs),
        epochs=9,
    ).history["val_loss"]
    assert len(history) < 9
    data = networks.data(model, batches=4)
    assert model.evaluate(*data, verbose=0) == pytest.approx(max(history), rel=1e-6)
    restored = model.get_weights()
    model.load_weights(file)
    assert_same(model.get_weights(), restored)


@first_fast(reused=[True, False])
@first_fast(event=["validation", "end of an epoch"])
@first_fast(optimizer=OPTIMIZERS)
def test_after_an_interrupt_the_training_goes_on_from_the_weights(
    reused, event, optimizer
):
    make = OPTIMIZERS[optimizer]

    def second(spy, *callbacks):
        model, callback = model_of(make), AveragesInValidation()
        with pytest.raises(KeyboardInterrupt):
            fit(model, callback, *callbacks, Interrupt(event))
        # The old callback is alive, as in a notebook.
        fit(model, callback if reused else AveragesInValidation(), spy)
        return model

    spy, first = Spy(), Spy()
    model = second(spy, first)
    alone = Spy()
    fit(model_of(make), alone, epochs=5)  # the same steps, not interrupted
    got = [*first.seen["batch"], *spy.seen["batch"]]
    for weights, expected in zip(got, alone.seen["batch"], strict=True):
        assert_same(weights, expected)
    assert_differ(spy.seen["test"][0], spy.seen["batch"][3])
    assert_same(model.get_weights(), spy.seen["epoch"][-1])


@first_fast(layer=[0, 1])
def test_weights_set_after_an_interrupt_are_where_the_next_training_starts(layer):
    """Those of the other layer are what the interrupted one had."""

    class Begin(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.weights = [each.get_weights() for each in self.model.layers]

    model, spy, begin = model_of(OPTIMIZERS["FuzzyHess"]), Spy(), Begin()
    with pytest.raises(KeyboardInterrupt):
        fit(model, AveragesInValidation(), spy, Interrupt("validation"))
    new = [w + 1 for w in model.layers[layer].get_weights()]
    model.layers[layer].set_weights(new)
    fit(model, AveragesInValidation(), begin, epochs=1)
    assert_same(begin.weights[layer], new)
    other = 1 - layer
    assert_same(begin.weights[other], spy.seen["batch"][-1][2 * other :][:2])


def test_weights_that_a_callback_sets_at_the_end_of_an_epoch_stay():
    class Set(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[0].set_weights([np.ones((6, 8)), np.ones(8)])

        def on_train_batch_begin(self, batch, logs=None):
            self.weights = self.model.layers[0].get_weights()
            if batch == 0:
                self.first = self.weights

    model, setter = model_of(OPTIMIZERS["FuzzyHess"]), Set()
    fit(model, AveragesInValidation(), setter)
    assert_same(setter.first, [np.ones((6, 8)), np.ones(8)])


def test_evaluation_alone_puts_the_weights_back():
    model = model_of(OPTIMIZERS["FuzzyHess"])
    fit(model)
    x, y = networks.data(model)
    for _ in range(3):
        model.train_on_batch(x, y)
    weights, spy = model.get_weights(), Spy()
    model.evaluate(x, y, callbacks=[AveragesInValidation(), spy], verbose=0)
    assert_same(model.get_weights(), weights)
    with averages_in(model):
        averages = model.get_weights()
        model.evaluate(x, y, callbacks=[AveragesInValidation()], verbose=0)
        assert_same(model.get_weights(), averages)
    assert_same(spy.seen["test"][0], averages)
    assert_same(model.get_weights(), weights)
    assert_differ(averages, weights)


@each
def test_before_the_first_step_there_is_no_average(make):
    """Keras's begin as zeros."""
    model = model_of(make)
    model.optimizer.build(model.trainable_variables)
    weights = model.get_weights()
    with averages_in(model):
        assert_same(model.get_weights(), weights)
    model.evaluate(*networks.data(model), callbacks=[AveragesInValidation()], verbose=0)
    assert_same(model.get_weights(), weights)


@each
def test_what_a_training_has_ended_with_is_the_average(make):
    """Also where `EarlyStopping` has restored it."""
    model = model_of(make)
    stop = keras.callbacks.EarlyStopping(
        "val_loss", mode="max", patience=1, restore_best_weights=True
    )
    fit(model, AveragesInValidation(), stop, epochs=6)
    weights = model.get_weights()
    with averages_in(model):
        assert_same(model.get_weights(), weights)


def test_two_optimizers_of_the_same_weights():
    class Shared(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)
            self.own = [FuzzyHess(seed=0), FuzzyHess(seed=1)]

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            for optimizer in self.own:
                with tf.GradientTape() as tape:
                    loss = optimizer.scale_loss(self.compute_loss(x, y, self(x)))
                weights = self.trainable_variables
                optimizer.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    def weights_of_steps(*callbacks):
        keras.utils.set_random_seed(0)
        model, spy = Shared(), Spy()
        model.build((None, 6))
        model.compile(optimizer=None, loss=networks.cross_entropy)
        x, y = networks.data(networks.dense(), batches=4)
        model.fit(
            x, y, epochs=3, batch_size=16, shuffle=False, verbose=0,
            validation_data=(x, y), callbacks=[*callbacks, spy],
        )  # fmt: skip
        return spy.seen["batch"]

    with_callback = weights_of_steps(AveragesInValidation())
    alone = weights_of_steps()
    for got, expected in zip(with_callback, alone, strict=True):
        assert_same(got, expected)


def test_an_interrupt_while_averages_are_put_in_leaves_the_weights(monkeypatch):
    model = model_of(OPTIMIZERS["FuzzyHess"])
    fit(model, epochs=1)
    x, y = networks.data(model)
    for _ in range(3):
        model.train_on_batch(x, y)
    weights = model.get_weights()

    def interrupted(self, variables):
        variables[0].assign(tf.zeros_like(variables[0]))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        name = "_overwrite_model_variables_with_average_value"
        patch.setattr(FuzzyHess, name, interrupted)
        with averages_in(model):
            raise AssertionError("not reached")
    assert_same(model.get_weights(), weights)


def test_a_nested_evaluation_leaves_the_averages_where_they_are():
    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before = self.model.get_weights()
            data = networks.data(self.model)
            self.model.evaluate(*data, callbacks=[averages], verbose=0)
            assert_same(self.model.get_weights(), before)

    averages = AveragesInValidation()
    fit(model_of(OPTIMIZERS["FuzzyHess"]), averages, Evaluate())


def test_without_averages_the_order_does_not_matter():
    stop = keras.callbacks.EarlyStopping(restore_best_weights=True)
    fit(model_of(keras.optimizers.Adam), stop, AveragesInValidation())


def test_kept_weights_are_forgotten_once_steps_were_taken_without_it(tmp_path):
    file = tmp_path / "model.keras"
    model = model_of(OPTIMIZERS["FuzzyHess"])
    fit(model, AveragesInValidation(), keras.callbacks.ModelCheckpoint(file))
    model = keras.saving.load_model(file)
    model.layers[0].trainable = False
    frozen = model.layers[0].get_weights()
    model.compile(model.optimizer, networks.cross_entropy)
    fit(model, epochs=1)
    fit(model, AveragesInValidation(), epochs=1)
    assert_same(model.layers[0].get_weights(), frozen)
