"""Behind `AveragesInValidation`, callbacks of Keras have the weights that are logged.

What is logged at the end of an epoch is what `evaluate` gives for what is saved or
restored, to 1e-6, and what `fit` leaves is what was logged last.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, compiled
from tests.sweep.callback_table import CALLBACKS

EPOCHS = 4
NOT_ALONE = {"EarlyStopping", "SwapEMAWeights"}
SAME = {"rel": 1e-6, "abs": 1e-7}


class EvaluateAtEpochEnd(keras.callbacks.Callback):
    """What a callback of a user sees."""

    def __init__(self, data):
        super().__init__()
        self.data, self.losses, self.weights = data, [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        self.losses.append(self.model.evaluate(*self.data, verbose=0))


def model_of(make=lambda: FuzzyHess(seed=0), network=networks.dense):
    keras.utils.set_random_seed(0)
    return compiled(make(), network())


def data_of(model):
    known = model if hasattr(model, "inputs") else networks.dense()
    return networks.data(known, batches=4)


def fit(model, *callbacks, first=AveragesInValidation, **kwargs):
    data = data_of(model)
    kwargs = {"validation_data": data, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(
        *data,
        **{"epochs": EPOCHS, "batch_size": 16} | kwargs,
        callbacks=[first(), *callbacks],
    ).history["val_loss"]


def loss_of(model):
    return model.evaluate(*data_of(model), verbose=0)


@first_fast(name=["EarlyStopping", *sorted(CALLBACKS.keys() - NOT_ALONE)])
def test_what_is_logged_is_what_is_seen_and_what_fit_leaves(name, tmp_path):
    """Also by a callback behind it; none but these two sets weights of its own."""
    model, made = model_of(), CALLBACKS[name](tmp_path)
    spy = EvaluateAtEpochEnd(data_of(model))
    logged = fit(model, made, spy)
    assert spy.losses == pytest.approx(logged, **SAME)
    best = min(logged) if name == "EarlyStopping" else logged[-1]
    assert loss_of(model) == pytest.approx(best, **SAME)


@first_fast(whole=[True, False])
@first_fast(network=[networks.convolution, networks.dense])
def test_model_checkpoint_saves_what_is_logged(whole, network, tmp_path):
    end = "keras" if whole else "weights.h5"
    file = str(tmp_path / "{epoch}.") + end
    model = model_of(network=network)
    logged = fit(
        model, keras.callbacks.ModelCheckpoint(file, save_weights_only=not whole)
    )
    for epoch, loss in enumerate(logged, start=1):
        if whole:
            model = keras.saving.load_model(file.format(epoch=epoch))
        else:
            model.load_weights(file.format(epoch=epoch))
        assert loss_of(model) == pytest.approx(loss, **SAME)


@first_fast(network=[networks.convolution, networks.dense])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_early_stopping_restores_what_is_logged(mode, network):
    model = model_of(network=network)
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=1, mode=mode, restore_best_weights=True
    )
    logged = fit(model, stop, epochs=12)
    best = min(logged) if mode == "min" else max(logged)
    assert loss_of(model) == pytest.approx(best, **SAME)


def test_logs_have_what_is_evaluated(tmp_path):
    model = model_of()
    spy = EvaluateAtEpochEnd(data_of(model))
    fit(
        model,
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path, write_graph=False),
        spy,
    )
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    column = header.split(",").index("val_loss")
    written = [float(line.split(",")[column]) for line in lines]
    assert written == pytest.approx(spy.losses, **SAME)
    (events,) = (tmp_path / "validation").glob("*.tfevents.*")
    boarded = [
        float(tf.make_ndarray(value.tensor))
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag == "epoch_loss"
    ]
    assert boarded == pytest.approx(spy.losses, **SAME)


def test_a_plateau_is_one_of_what_is_logged():
    model = model_of()
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=1e9)
    logged = fit(model, plateau)
    assert plateau.best == pytest.approx(logged[0], **SAME)
    assert float(model.optimizer.learning_rate) < 1


class Stop(keras.callbacks.Callback):
    """As a kill after the second epoch, which is saved by then."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def normed():
    return keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(networks.CLASSES),
        ]
    )


def resumed_by_backup(folder, make):
    def backup():
        return keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)

    with pytest.raises(KeyboardInterrupt):
        fit(make(), backup(), Stop())
    model = make()
    return model, fit(model, backup())


def resumed_by_file(folder, make):
    file = folder / "model.keras"
    with pytest.raises(KeyboardInterrupt):
        fit(make(), keras.callbacks.ModelCheckpoint(file), Stop())
    model = keras.saving.load_model(file)
    return model, fit(model, initial_epoch=2)


def resumed_by_weights(folder, make):
    file = folder / "model.weights.h5"
    saving = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
    with pytest.raises(KeyboardInterrupt):
        fit(make(), saving, Stop())
    model = make()
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # Keras skips the state of one that is not built.
        model.optimizer.build(model.trainable_variables)
    model.load_weights(file)
    return model, fit(model, initial_epoch=2)


RESUMED = {
    "BackupAndRestore": resumed_by_backup,
    "ModelCheckpoint": resumed_by_file,
    "ModelCheckpoint, weights": resumed_by_weights,
}


@first_fast(policy=["float32", "mixed_float16"])
@first_fast(network=[normed, networks.dense])
@pytest.mark.parametrize("way", RESUMED)
def test_a_training_goes_on_from_the_weights_behind_it(way, network, policy, tmp_path):
    """Though the file holds the averages: they are what was validated.

    BatchNorm's statistics are corrected by all steps since they started.
    """

    def make():
        return model_of(network=network)

    keras.config.set_dtype_policy(policy)
    try:
        whole = make()
        logged = fit(whole)
        model, logged_later = RESUMED[way](tmp_path, make)
    finally:
        keras.config.set_dtype_policy("float32")
    assert logged_later == logged[2:]
    assert_same(model.get_weights(), whole.get_weights())
    assert_same(model.optimizer.variables, whole.optimizer.variables)


class Doubled(keras.Model):
    """A model with two optimizers, neither of them the compiled one, as GANs have."""

    def __init__(self):
        super().__init__()
        self.one, self.other = keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)
        self.norm = keras.layers.BatchNormalization()
        self.first, self.second = FuzzyHess(seed=0), FuzzyHess(seed=1)

    def build(self, shape):
        self.one.build(shape)
        self.norm.build((None, 8))
        self.other.build((None, 8))

    def call(self, x, training=None):
        return self.other(self.norm(self.one(x), training=training))

    def train_step(self, data):
        x, y = data
        for optimizer, layer in ((self.first, self.one), (self.second, self.other)):
            with tf.GradientTape() as tape:
                predicted = self(x, training=True)
                loss = optimizer.scale_loss(self.compute_loss(x, y, predicted))
            weights = layer.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def test_optimizers_that_are_attributes_have_their_averages_saved(tmp_path):
    def doubled():
        keras.utils.set_random_seed(0)
        model = Doubled()
        model.build((None, 6))
        model.compile(optimizer=None, loss=networks.cross_entropy)
        return model

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)

    whole, killed, model = doubled(), doubled(), doubled()
    logged = fit(whole)
    assert loss_of(whole) == pytest.approx(logged[-1], **SAME)
    with pytest.raises(KeyboardInterrupt):
        fit(killed, backup(), Stop())
    assert fit(model, backup()) == logged[2:]
    assert_same(model.get_weights(), whole.get_weights())


def test_without_it_a_saved_training_goes_on_from_the_averages(tmp_path):
    file = tmp_path / "model.keras"
    fit(model_of(), keras.callbacks.ModelCheckpoint(file), epochs=2)
    model = keras.saving.load_model(file)
    averages = model.get_weights()

    class Begin(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                assert_same(self.model.get_weights(), averages)

    model.fit(*data_of(model), epochs=1, verbose=0, callbacks=[Begin()])
    with pytest.raises(AssertionError):  # neither old weights nor these come back
        assert_same(model.get_weights(), averages)
    assert not model.optimizer.averages_are_in


def test_weights_that_a_callback_sets_after_the_last_epoch_are_what_fit_leaves():
    new = [np.full(w.shape, 0.1) for w in networks.dense().get_weights()]

    class Set(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                self.model.set_weights(new)

    model = model_of()
    fit(model, Set())
    for weight, expected in zip(model.get_weights(), new, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_the_average_of_weights_that_a_callback_sets_begins_there():
    """Rewound to zero after many steps, they are not averaged with what was before."""

    class Rewind(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.set_weights([100.0 * w for w in self.model.get_weights()])
            if epoch == 1:
                self.model.set_weights(self.first)

        def on_train_begin(self, logs=None):
            self.first = self.model.get_weights()

    model, rewind = model_of(), Rewind()
    fit(model, rewind, epochs=3)
    for weight, first in zip(model.get_weights(), rewind.first, strict=True):
        assert np.abs(weight - first).max() < 1


MISPLACED = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping(
        restore_best_weights=True
    ),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "x.keras"
    ),
}


@pytest.mark.parametrize("name", MISPLACED)
def test_a_callback_that_must_be_behind_it_is_refused_before_it(name, tmp_path):
    model = model_of()
    before = model.get_weights()
    with pytest.raises(ValueError, match=rf"Place `AveragesIn.*before `{name}`"):
        fit(model, AveragesInValidation(), first=lambda: MISPLACED[name](tmp_path))
    assert_same(model.get_weights(), before)


@pytest.mark.parametrize("swaps_on_epoch", [True, False])
def test_two_that_put_averages_in_are_refused(swaps_on_epoch):
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swaps_on_epoch)
    with pytest.raises(ValueError, match="Leave out `SwapEMAWeights`"):
        fit(model_of(), swap)


def test_what_sees_no_weights_may_be_before_it(tmp_path):
    class Own(keras.callbacks.Callback):
        pass

    every = keras.callbacks.ModelCheckpoint(tmp_path / "x.weights.h5", **STEPS)
    for early in (
        keras.callbacks.EarlyStopping,
        keras.callbacks.TerminateOnNaN,
        lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        lambda: every,
        Own,
    ):
        fit(model_of(), AveragesInValidation(), first=early, epochs=1)


STEPS = {"save_freq": 2, "save_weights_only": True}


def test_backups_behind_it_need_an_optimizer_that_keeps_the_weights(tmp_path):
    model = model_of(lambda: keras.optimizers.Adam(use_ema=True))
    with pytest.raises(ValueError, match="Place `BackupAndRestore` first"):
        fit(model, keras.callbacks.BackupAndRestore(tmp_path))
    fit(
        model,
        AveragesInValidation(),
        first=lambda: CALLBACKS["BackupAndRestore"](tmp_path),
    )


def test_an_exception_leaves_one_of_the_two_whole():
    """In the middle of an epoch the weights, in that of a validation the averages."""

    class Fail(keras.callbacks.Callback):
        def __init__(self, event):
            super().__init__()
            self.event, self.epoch = event, 0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.event, self.epoch, batch) == ("epoch", 1, 2):
                self.seen = self.model.get_weights()
                raise RuntimeError("out of memory")

        def on_test_batch_end(self, batch, logs=None):
            if (self.event, self.epoch) == ("validation", 1):
                self.seen = self.model.get_weights()
                raise RuntimeError("out of memory")

    ends = {}
    for event in ("epoch", "validation"):
        model, fail = model_of(), Fail(event)
        with pytest.raises(RuntimeError):
            fit(model, fail)
        assert_same(model.get_weights(), fail.seen)
        assert model.optimizer.averages_are_in == (event == "validation")
        ends[event] = model
    whole = model_of()
    logged = fit(whole)
    model = ends["validation"]
    assert fit(model, epochs=4, initial_epoch=2) == logged[2:]
    assert_same(model.get_weights(), whole.get_weights())
