"""BatchNorm's statistics without their start where averages are shown, and back."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from keras_fuzzyhess import AveragesInValidation, FuzzyHess, averages_in
from keras_fuzzyhess.backend.moving_statistics import ENOUGH, without_start
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, compiled

OPTIMIZERS = {
    "Adam": lambda **kwargs: keras.optimizers.Adam(0.01, use_ema=True, **kwargs),
    "FuzzyHess": lambda **kwargs: FuzzyHess(seed=0, **kwargs),
}
STEPS = 4  # of an epoch
EPOCHS = 3
MOMENTUM = 0.9


class Spy(keras.callbacks.Callback):
    """The statistics of a layer at each event of a training, and all variables."""

    def __init__(self, norm=None):
        super().__init__()
        self.norm = norm
        self.seen = {"begin": [], "batch": [], "test": [], "epoch": []}
        self.variables = []

    def note(self, event):
        norm = self.norm or norms_of(self.model)[0]
        self.seen[event].append(statistics_of(norm))

    def on_epoch_begin(self, epoch, logs=None):
        self.note("begin")

    def on_train_batch_end(self, batch, logs=None):
        self.note("batch")
        self.variables.append(state_of(self.model))

    def on_test_batch_end(self, batch, logs=None):
        self.note("test")

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch")

    @property
    def last_steps(self):
        """The statistics after the last step of each epoch."""
        return self.seen["batch"][STEPS - 1 :: STEPS]


def norms_of(model):
    return [x for x in model.layers if isinstance(x, layers.BatchNormalization)]


def statistics_of(norm):
    return np.array(norm.moving_mean), np.array(norm.moving_variance)


def state_of(model):
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def first_layer(**kwargs):
    """BatchNorm of the input, whose statistics can be computed without the network."""
    norm = layers.BatchNormalization(**{"momentum": MOMENTUM} | kwargs)
    return keras.Sequential([layers.Input((6,)), norm, layers.Dense(networks.CLASSES)])


def model_of(make=OPTIMIZERS["Adam"], network=first_layer):
    keras.utils.set_random_seed(0)
    return compiled(make(), network())


def data_of(model, steps=STEPS):
    known = model if getattr(model, "inputs", None) else networks.dense()
    x, y = networks.data(known, batches=steps)
    return 3 * x + 5, y


def fit(model, *callbacks, first=AveragesInValidation, steps=STEPS, **kwargs):
    data = data_of(model, steps)
    kwargs = {"validation_data": data, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(
        *data,
        **{"epochs": EPOCHS, "batch_size": networks.BATCH} | kwargs,
        callbacks=[*([first()] if first else []), *callbacks],
    ).history["val_loss"]


def corrected(statistics, steps, momentum=MOMENTUM):
    share = momentum**steps
    mean, variance = (np.float64(each) for each in statistics)
    return mean / (1 - share), (variance - share) / (1 - share)


def assert_close(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-5)


@first_fast(optimizer=OPTIMIZERS)
def test_what_is_shown_is_the_weighted_mean_of_the_minibatches(optimizer):
    """Computed from the data, without any start."""
    model, behind = model_of(OPTIMIZERS[optimizer]), Spy()
    fit(model, behind)
    batches = np.split(data_of(model)[0], STEPS) * EPOCHS
    for epoch in range(EPOCHS):
        steps = STEPS * (epoch + 1)
        assert_close(behind.seen["epoch"][epoch], weighted_mean(batches[:steps]))
        assert_same(behind.seen["test"][STEPS * epoch], behind.seen["epoch"][epoch])
        assert_close(
            behind.seen["epoch"][epoch], corrected(behind.last_steps[epoch], steps)
        )
    assert_same(statistics_of(norms_of(model)[0]), behind.seen["epoch"][-1])


def weighted_mean(minibatches):
    """Of their means and variances, the last one first."""
    weights = MOMENTUM ** np.arange(len(minibatches))[::-1]
    of_minibatches = [(x.mean(axis=0), x.var(axis=0)) for x in minibatches]
    return [
        np.average(values, axis=0, weights=weights)
        for values in zip(*of_minibatches, strict=True)
    ]


@first_fast(steps=[ENOUGH + 3, ENOUGH // 2 + 1, 3 * ENOUGH])
def test_what_was_before_minibatches_enough_is_forgotten(steps):
    """Marks are set where an epoch begins, the last one enough minibatches ago."""
    model, behind = model_of(), Spy()
    fit(model, behind, steps=steps, epochs=5)
    minibatches = np.split(data_of(model, steps)[0], steps) * 5
    every = -(-ENOUGH // steps) * steps
    for epoch, shown in enumerate(behind.seen["epoch"]):
        now = steps * (epoch + 1)
        first = max(0, (now - ENOUGH) // every * every)
        assert_close(shown, weighted_mean(minibatches[first:now]))


def test_statistics_that_were_trained_before_are_forgotten_as_well():
    model, behind = model_of(network=trained_before), Spy()
    before = statistics_of(norms_of(model)[0])
    fit(model, behind, steps=ENOUGH, epochs=2)
    minibatches = np.split(data_of(model, ENOUGH)[0], ENOUGH)
    for shown in behind.seen["epoch"]:
        assert_close(shown, weighted_mean(minibatches))
    model, behind = model_of(network=trained_before), Spy()
    fit(model, behind, steps=ENOUGH - 1, epochs=1)
    assert_same(behind.seen["epoch"][0], behind.seen["batch"][-1])
    assert (behind.seen["epoch"][0][0] != before[0]).any()


def test_a_training_from_a_file_shows_what_it_would_have_shown(tmp_path):
    make, steps = OPTIMIZERS["FuzzyHess"], ENOUGH // 2 + 1
    file, whole, behind = tmp_path / "model.keras", Spy(), Spy()
    saving = keras.callbacks.ModelCheckpoint(file)
    fit(model_of(make), whole, steps=steps, epochs=5)
    fit(model_of(make), saving, steps=steps, epochs=3)
    fit(keras.saving.load_model(file), behind, steps=steps, initial_epoch=3, epochs=5)
    for shown, expected in zip(
        behind.seen["epoch"], whole.seen["epoch"][3:], strict=True
    ):
        assert_same(shown, expected)


@first_fast(optimizer=["FuzzyHess", "Adam"])
def test_the_training_goes_on_to_the_bit(optimizer):
    behind, alone = Spy(), Spy()
    make, network = OPTIMIZERS[optimizer], networks.convolution
    fit(model_of(make, network), behind)
    fit(model_of(make, network), alone, first=None)
    assert len(alone.variables) == STEPS * EPOCHS
    for got, expected in zip(behind.variables, alone.variables, strict=True):
        assert_same(got, expected)
    for shown, own in zip(behind.seen["epoch"], alone.seen["epoch"], strict=True):
        assert (shown[0] != own[0]).any()
        assert (shown[1] != own[1]).any()


@keras.saving.register_keras_serializable(package="tests")
class OfParts(keras.Model):
    """BatchNorm in a list, a dict, a layer, a model and a wrapper."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

        def norm():
            return layers.BatchNormalization(momentum=MOMENTUM)

        self.listed, self.named = [norm()], {"a": [norm()]}
        self.inner = keras.Sequential([keras.Sequential([norm()])])
        self.wrapper = layers.TimeDistributed(norm())
        self.last = layers.Dense(networks.CLASSES)

    def norms(self):
        inner = self.inner.layers[0].layers
        return [*self.listed, *self.named["a"], *inner, self.wrapper.layer]

    def call(self, x, training=None):
        for layer in (*self.listed, *self.named["a"], self.inner):
            x = layer(x, training=training)
        x = self.wrapper(x[:, None], training=training)
        return self.last(x[:, 0])


@first_fast(built=[False, True])
def test_layers_anywhere_in_the_model_and_those_that_fit_makes(built):
    model = model_of(network=OfParts)
    if built:
        model(data_of(model)[0])
    spies = [Spy(norm) for norm in model.norms()]

    class Begin(keras.callbacks.Callback):
        """Nothing is to be seen of layers that are not made yet."""

        def on_epoch_begin(self, epoch, logs=None):
            for spy in spies if epoch else []:
                spy.on_epoch_begin(epoch)

    for spy in spies:
        spy.on_epoch_begin = lambda *_: None
    fit(model, *spies, Begin())
    assert len(spies) == 4
    for spy in spies:
        for epoch, shown in enumerate(spy.seen["epoch"]):
            steps = STEPS * (epoch + 1)
            assert_close(shown, corrected(spy.last_steps[epoch], steps))
            assert (shown[0] != spy.last_steps[epoch][0]).any()


def frozen():
    model = first_layer()
    norms_of(model)[0].trainable = False
    return model


class Inferring(keras.Model):
    """BatchNorm that its model calls as in inference."""

    def __init__(self):
        super().__init__()
        self.norm = layers.BatchNormalization()
        self.last = layers.Dense(networks.CLASSES)

    def call(self, x):
        return self.last(self.norm(x, training=False))


def inferring():
    model = Inferring()
    model(np.zeros((1, 6), "float32"))
    return model


def trained_before():
    model = first_layer()
    norms_of(model)[0].moving_mean.assign(np.full(6, 5.0))
    return model


@pytest.mark.parametrize("network", [frozen, inferring, trained_before])
def test_what_does_not_move_or_had_no_start_is_not_touched(network):
    model, behind, alone = model_of(network=network), Spy(), Spy()
    first = statistics_of(norms_of(model)[0])
    fit(model, behind)
    fit(model_of(network=network), alone, first=None)
    for event, seen in behind.seen.items():
        for got, expected in zip(seen, alone.seen[event], strict=True):
            assert_same(got, expected)
            if network is not trained_before:
                assert_same(got, first)


def test_a_second_training_starts_from_what_was_left_without_correction():
    model, behind = model_of(), Spy()
    fit(model)
    left = statistics_of(norms_of(model)[0])
    fit(model, behind)
    assert_same(behind.seen["begin"][0], left)
    for shown, own in zip(behind.seen["epoch"], behind.last_steps, strict=True):
        assert_same(shown, own)


class Interrupt(keras.callbacks.Callback):
    """Once, in the second epoch."""

    def __init__(self, event):
        super().__init__()
        self.epoch, self.event = 0, event

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.event, self.epoch, batch) == ("training", 1, 1):
            raise KeyboardInterrupt

    def on_test_batch_end(self, batch, logs=None):
        if (self.event, self.epoch) == ("validation", 1):
            raise KeyboardInterrupt


@first_fast(count=[2, 1])
@first_fast(optimizer=["FuzzyHess", "Adam"])
def test_after_an_interrupt_in_a_validation_it_goes_on_from_the_statistics(
    optimizer, count
):
    make = OPTIMIZERS[optimizer]
    more = [AveragesInValidation() for _ in range(count - 1)]
    whole = model_of(make)
    logged = fit(whole)
    model = model_of(make)
    with pytest.raises(KeyboardInterrupt):
        fit(model, *more, Interrupt("validation"))
    assert fit(model, *more, initial_epoch=2) == logged[2:]
    assert_same(state_of(model), state_of(whole))


def test_after_an_interrupt_in_an_epoch_the_start_is_still_known():
    model, first, behind = model_of(), Spy(), Spy()
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt("training"))
    before = len(first.seen["batch"])
    fit(model, behind)
    expected = corrected(behind.last_steps[0], before + STEPS)
    assert_close(behind.seen["epoch"][0], expected)


def test_a_file_of_the_middle_of_an_epoch_tells_when_they_started(tmp_path):
    file = tmp_path / "model.keras"
    make, steps = OPTIMIZERS["FuzzyHess"], STEPS + 2
    saving = keras.callbacks.ModelCheckpoint(file, save_freq=steps)
    with pytest.raises(KeyboardInterrupt):
        fit(model_of(make), saving, Interrupt("training"))
    model, behind = keras.saving.load_model(file), Spy()
    fit(model, behind)
    for epoch, shown in enumerate(behind.seen["epoch"]):
        total = steps + STEPS * (epoch + 1)
        assert_close(shown, corrected(behind.last_steps[epoch], total))


def test_statistics_loaded_behind_a_saved_state_are_not_those_that_it_tells_of(
    tmp_path,
):
    file = tmp_path / "model.keras"
    model = model_of(OPTIMIZERS["FuzzyHess"])
    fit(model, keras.callbacks.ModelCheckpoint(file), epochs=1)
    model, behind = keras.saving.load_model(file), Spy()
    new = np.full(6, 5.0), np.full(6, 2.0)
    norms_of(model)[0].moving_mean.assign(new[0])
    norms_of(model)[0].moving_variance.assign(new[1])
    fit(model, behind)
    assert_same(behind.seen["begin"][0], new)
    assert_same(behind.seen["epoch"][0], behind.last_steps[0])


class Set(keras.callbacks.Callback):
    """Sets the statistics after the first epoch: this mean, and a variance of 1."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            norm = norms_of(self.model)[0]
            norm.moving_mean.assign(np.full(6, self.mean))
            norm.moving_variance.assign(np.ones(6))


@first_fast(new=[0.0, 7.0])
def test_statistics_that_a_callback_sets_stay(new):
    """And are corrected from there if they are set to zeros and ones."""
    model, behind = model_of(), Spy()
    fit(model, Set(new), behind)
    assert_same(behind.seen["begin"][1], (np.full(6, new), np.ones(6)))
    own = behind.last_steps[1]
    expected = own if new else corrected(own, STEPS)
    assert_close(behind.seen["epoch"][1], expected)


def test_minibatches_of_an_accumulated_gradient_count_each():
    def make():
        return OPTIMIZERS["Adam"](gradient_accumulation_steps=3)

    behind = Spy()
    fit(model_of(make), behind)
    for epoch, shown in enumerate(behind.seen["epoch"]):
        steps = STEPS * (epoch + 1)
        assert_close(shown, corrected(behind.last_steps[epoch], steps))


def test_statistics_that_are_set_do_not_move_on_from_what_they_were():
    """Nothing is shown yet of a layer that was trained before, when they are set."""
    model, behind = model_of(network=trained_before), Spy()
    steps = ENOUGH // 2
    x, _ = data_of(model, steps)
    fit(model, Set(100.0), behind, steps=steps, epochs=5)
    for mean, _ in behind.seen["epoch"]:
        assert (mean > x.min()).all() and (mean < 101).all()
    minibatches = np.split(x, steps) * 5
    assert_close(behind.seen["epoch"][-1], weighted_mean(minibatches[-ENOUGH:]))


@first_fast(momentum=[0.9, 0.95, 0.997])
def test_a_channel_without_variance_does_not_mislead_the_others(momentum):
    def with_dead_channels():
        norm = layers.BatchNormalization(momentum=momentum)
        x = layers.Input((6,))
        dead = layers.Rescaling([0.0, 1.0] * 3)(x)
        return keras.Model(x, layers.Dense(networks.CLASSES)(norm(dead)))

    model, behind = model_of(network=with_dead_channels), Spy()
    fit(model, behind, epochs=6)
    for epoch, shown in enumerate(behind.seen["epoch"][:5]):
        steps = STEPS * (epoch + 1)
        expected = corrected(behind.last_steps[epoch], steps, momentum)
        np.testing.assert_allclose(shown[0], expected[0], rtol=1e-3, atol=1e-5)
    assert (behind.seen["epoch"][-1][1] >= 0).all()


@first_fast(nested=[True, False])
def test_a_functional_model_tells_how_often_it_calls_a_layer(nested):
    """Two towers that share it; their inputs drift, and no variance tells."""

    def towers():
        norm = layers.BatchNormalization(momentum=MOMENTUM)
        shared = keras.Sequential([layers.Input((6,)), norm]) if nested else norm
        x = layers.Input((6,))
        added = layers.add([shared(x), shared(x)])
        return keras.Model(x, layers.Dense(networks.CLASSES)(added))

    model = model_of(network=towers)
    norm = model.layers[1].layers[0] if nested else model.layers[1]
    behind = Spy(norm)
    fit(model, behind, steps=ENOUGH)
    minibatches = np.split(data_of(model, ENOUGH)[0], ENOUGH)
    for shown in behind.seen["epoch"]:
        assert_close(shown, weighted_mean([x for x in minibatches for _ in range(2)]))


@pytest.mark.parametrize("calls", [2, 3])
def test_a_layer_that_is_called_several_times_in_a_step(calls):
    """Its small variances tell that it has moved more often than there were steps."""

    def shared():
        norm, dense = layers.BatchNormalization(), layers.Dense(networks.CLASSES)
        x = layers.Input((6,))
        normed = [norm(0.01 * x) for _ in range(calls)]
        return keras.Model(x, dense(layers.add(normed)))

    model, behind = model_of(network=shared), Spy()
    x = 0.01 * data_of(model)[0]
    fit(model, behind)
    for epoch, (mean, variance) in enumerate(behind.seen["epoch"]):
        momentum, steps = norms_of(model)[0].momentum, STEPS * (epoch + 1)
        expected = corrected(behind.last_steps[epoch], calls * steps, momentum)
        assert_close((mean, variance), expected)
        assert (variance > 0).all()
        np.testing.assert_allclose(mean, x.mean(0), rtol=0.5)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_a_momentum_that_leaves_nothing_to_correct(momentum):
    model, behind = model_of(network=lambda: first_layer(momentum=momentum)), Spy()
    fit(model, behind)
    for shown, own in zip(behind.seen["epoch"], behind.last_steps, strict=True):
        assert_same(shown, own)


def test_statistics_that_are_not_finite_stay_so():
    model, behind = model_of(), Spy()
    x, y = data_of(model)
    x[0, 0] = np.nan
    model.fit(x, y, verbose=0, callbacks=[AveragesInValidation(), behind])
    mean, variance = behind.seen["epoch"][0]
    assert np.isnan(mean[0])
    assert_same(statistics_of(norms_of(model)[0]), (mean, variance))


RENORM = "renorm" in inspect.signature(layers.BatchNormalization).parameters


@pytest.mark.skipif(not RENORM, reason="Keras has none")
def test_renormalization_averages_deviations():
    model, behind = model_of(network=lambda: first_layer(renorm=True)), Spy()
    fit(model, behind)
    x = data_of(model)[0]
    _, variance = behind.seen["epoch"][-1]
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=0.3)
    assert (behind.last_steps[0][1] < 0.6 * behind.seen["epoch"][0][1]).all()


def test_averages_in_shows_them_in_the_middle_of_an_epoch():
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            (norm,) = norms_of(self.model)
            own = statistics_of(norm)
            with averages_in(self.model):
                assert_close(statistics_of(norm), corrected(own, batch + 1))
            assert_same(statistics_of(norm), own)

    fit(model_of(), Look(), epochs=1)


def test_two_replicas(two_replicas):
    def trained(*callbacks, first=AveragesInValidation):
        with two_replicas.scope():
            model = model_of()
        fit(model, *callbacks, first=first)

    behind, alone = Spy(), Spy()
    trained(behind)
    trained(alone, first=None)
    for got, expected in zip(behind.variables, alone.variables, strict=True):
        assert_same(got, expected)
    for epoch, shown in enumerate(behind.seen["epoch"]):
        steps = STEPS * (epoch + 1)
        assert_close(shown, corrected(behind.last_steps[epoch], steps))


def test_the_share_is_the_largest_power_that_no_variance_is_below():
    mean, variance = without_start(np.array([1.0, 2.0]), np.array([0.2, 0.6]), 0.5)
    np.testing.assert_allclose(mean, np.array([1.0, 2.0]) / 0.875)
    np.testing.assert_allclose(variance, np.array([0.075, 0.475]) / 0.875)


def test_the_start_may_be_anything():
    start = np.array([4.0]), np.array([0.0])
    mean, variance = without_start(np.array([2.0]), np.array([3.0]), 0.25, start)
    np.testing.assert_allclose((mean, variance), ([4 / 3], [4.0]))


def test_minibatches_that_were_skipped_have_moved_them():
    """Every second is not finite; of its inputs, BatchNorm has seen finite ones."""
    model, behind = model_of(OPTIMIZERS["FuzzyHess"]), Spy()
    x, y = data_of(model)
    weights = np.where(np.arange(len(x)) // networks.BATCH % 2, np.inf, 1.0)
    kwargs = {"validation_data": (x, y), "shuffle": False, "verbose": 0}
    callbacks = [AveragesInValidation(), behind]
    model.fit(x, y, sample_weight=weights, batch_size=16, callbacks=callbacks, **kwargs)
    assert model.optimizer.diagnostics["skipped_steps"] == STEPS // 2
    assert_close(behind.seen["epoch"][0], corrected(behind.last_steps[0], STEPS))


def test_an_infinite_minibatch_leaves_a_file_that_can_be_loaded(tmp_path):
    """Its step is skipped, and statistics that are not finite are no marks."""
    file, model = tmp_path / "model.keras", model_of(OPTIMIZERS["FuzzyHess"])
    x, y = data_of(model, ENOUGH)
    x[0, 0] = np.inf
    callbacks = [AveragesInValidation(), keras.callbacks.ModelCheckpoint(file)]
    model.fit(x, y, epochs=3, batch_size=16, verbose=0, callbacks=callbacks)
    keras.saving.load_model(file)


@first_fast(form=["subclassed", "own step"])
def test_where_nothing_tells_the_moves_only_the_start_is_corrected(form):
    class OwnStep(keras.Model):
        def train_step(self, data):
            return super().train_step(data)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization(momentum=MOMENTUM)
            self.last = layers.Dense(networks.CLASSES)

        def call(self, x, training=None):
            return self.last(self.norm(x, training=training))

    def own_step():
        model = first_layer()
        return OwnStep(model.inputs[0], model.outputs[0])

    network = Subclassed if form == "subclassed" else own_step
    model = model_of(network=network)
    model(data_of(model)[0])
    (norm,) = norms_of(model)
    behind = Spy(norm)
    fit(model, behind, steps=ENOUGH, epochs=4)
    for epoch, shown in enumerate(behind.seen["epoch"]):
        steps = ENOUGH * (epoch + 1)
        assert_close(shown, corrected(behind.seen["batch"][steps - 1], steps))


def test_a_longer_memory_takes_more_minibatches():
    model = model_of(network=lambda: first_layer(momentum=0.99))
    behind, steps = Spy(), ENOUGH + 1
    fit(model, behind, steps=steps, epochs=2)
    own = behind.seen["batch"][2 * steps - 1]
    assert (behind.seen["epoch"][1][0] != corrected(own, 2 * steps, 0.99)[0]).any()
    model = model_of(network=lambda: first_layer(momentum=0.999))
    behind = Spy()
    fit(model, behind, steps=steps, epochs=2)
    own = behind.seen["batch"][2 * steps - 1]
    shown = behind.seen["epoch"][1]
    np.testing.assert_allclose(shown, corrected(own, 2 * steps, 0.999), rtol=1e-3)


def test_a_count_that_is_set_back_leaves_no_marks_of_later():
    class Reset(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.iterations.assign(0)

    model, behind = model_of(), Spy()
    fit(model, Reset(), behind, steps=ENOUGH, epochs=4)
    minibatches = np.split(data_of(model, ENOUGH)[0], ENOUGH)
    for shown in behind.seen["epoch"]:
        assert_close(shown, weighted_mean(minibatches))


def test_a_checksum_of_variables_in_bfloat16():
    norm = layers.BatchNormalization(dtype="bfloat16")
    model = keras.Sequential([layers.Input((6,)), norm, layers.Dense(3)])
    fit(compiled(OPTIMIZERS["Adam"](), model), epochs=1)
    assert np.isfinite(np.float32(norm.moving_mean)).all()
