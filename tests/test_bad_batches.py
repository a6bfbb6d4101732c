"""What is not finite leaves no trace but a counter, and a warning if it goes on."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess, FuzzyHessMonitor
from keras_fuzzyhess.finite_steps import PATIENCE
from keras_fuzzyhess.probe_schedule import probe_schedule
from tests import networks

GOOD = 12
COUNTERS = ("skipped_steps", "skipped_in_a_row")
OPTIMIZERS = {
    # Probes of both kinds, and steps between them without.
    "fuzzyhess": lambda **kwargs: FuzzyHess(seed=0, probe_interval=4, **kwargs),
    "salo": lambda **kwargs: SALO(**kwargs),
}
either = pytest.mark.parametrize("name", OPTIMIZERS)


def loss_function(traces):
    """Cross-entropy of labels that come with a number that ruins the loss or not."""

    def loss(y, logits):
        traces.append(1)
        label, offset, factor = tf.unstack(y, axis=-1)
        entropy = keras.ops.sparse_categorical_crossentropy(
            tf.cast(label, tf.int32), logits, from_logits=True
        )
        scaled = factor[:, None] * logits
        # With a factor of 0 the root is finite, and the gradient of it 0 / 0.
        return entropy + offset + 1e-3 * tf.sqrt(tf.reduce_sum(scaled**2, axis=-1))

    return loss


def nan_in_the_input(x, y):
    x[-1, 0] = np.nan


def infinite_loss_with_finite_gradient(x, y):
    y[-1, 1] = np.inf


def nan_gradient_of_finite_loss(x, y):
    y[-1, 2] = 0.0


KINDS = (
    nan_in_the_input,
    infinite_loss_with_finite_gradient,
    nan_gradient_of_finite_loss,
)


def good_batches(model):
    x, labels = networks.data(model, GOOD)
    y = np.stack([labels, np.zeros(len(x)), np.ones(len(x))], axis=-1)
    return x, y.astype("float32")


def with_bad_batches(x, y):
    """Before each minibatch its copies, of which one sample is ruined in each way."""
    parts = []
    for batch in zip(np.split(x, GOOD), np.split(y, GOOD), strict=True):
        for ruin in KINDS:
            copies = tuple(part.copy() for part in batch)
            ruin(*copies)
            parts.append(copies)
        parts.append(batch)
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    values = {v.path: np.array(v.numpy()) for v in variables}
    assert len(values) == len(variables)
    return values


def assert_same(before, after, but=()):
    for path, value in before.items():
        if not path.endswith(tuple(but)):
            np.testing.assert_array_equal(value, after[path], err_msg=path)


def fit(model, data, **kwargs):
    x, y = data
    arguments = {"batch_size": networks.BATCH, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(x, y, **arguments)


def fit_without_and_with(model, **kwargs):
    """State after the good minibatches alone, and after bad ones between them."""
    model.optimizer.build(model.trainable_variables)
    start = state(model)
    good = good_batches(model)
    fit(model, good, **kwargs)
    without = state(model)
    for variable in [*model.variables, *model.optimizer.variables]:
        variable.assign(start[variable.path])
    fit(model, with_bad_batches(*good), **kwargs)
    return without, state(model)


SITUATIONS = {
    "fit": ({}, {"steps_per_execution": 4}),
    "xla": ({}, {"jit_compile": True}),
    "accumulation": ({"gradient_accumulation_steps": 3}, {}),
    "settings": (
        {
            "learning_rate": keras.optimizers.schedules.CosineDecay(0.3, GOOD),
            "weight_decay": 0.01,
            "global_clipnorm": 1.0,
            "loss_scale_factor": 8.0,
        },
        {},
    ),
    "mixed_bfloat16": ({}, {}),
}


def test_bad_batches_come_at_probes_of_both_kinds_and_between():
    """What the experiment below relies on."""
    is_curvature, is_average = np.array([probe_schedule(i, 4) for i in range(GOOD)]).T
    for kind in (is_curvature, is_average, ~(is_curvature | is_average)):
        assert kind.any()


@either
@pytest.mark.parametrize("situation", SITUATIONS)
def test_training_ends_as_if_bad_batches_had_not_been_there(name, situation):
    if situation == "mixed_bfloat16":
        keras.config.set_dtype_policy(situation)
    arguments, compiled = SITUATIONS[situation]
    model, traces = networks.dense(), []
    # Applied once more, it would change bits.
    model.layers[0].kernel.constraint = keras.constraints.UnitNorm()
    model.compile(
        OPTIMIZERS[name](**arguments),
        loss_function(traces),
        **({"jit_compile": False} | compiled),
    )
    without, with_bad = fit_without_and_with(model)
    assert_same(without, with_bad, but=COUNTERS)
    assert int(model.optimizer._iterations) == GOOD
    told = model.optimizer.diagnostics
    assert told["skipped_steps"] == GOOD * len(KINDS)
    assert told["skipped_in_a_row"] == told["dropped_probes"] == 0
    assert told["probes"] > 0
    seen = len(traces)
    fit(model, with_bad_batches(*good_batches(model)))
    assert len(traces) == seen, "traced anew"


@either
def test_in_eager_code_batchnorm_and_dropout_forget_bad_batches_too(name):
    model = networks.convolution()
    optimizer = OPTIMIZERS[name]()
    x, y = networks.data(model, 4)
    optimizer.build(model.trainable_variables)
    model.optimizer = optimizer
    start = state(model)

    def train(batches):
        for inputs, labels in batches:
            optimizer.minimize(
                lambda x=inputs, y=labels: networks.cross_entropy(
                    y, model(x, training=True)
                ),
                model.trainable_variables,
            )
        return state(model)

    good = list(zip(np.split(x, 4), np.split(y, 4), strict=True))
    without = train(good)
    for variable in [*model.variables, *optimizer.variables]:
        variable.assign(start[variable.path])
    bad = np.full_like(good[0][0], np.nan), good[0][1]
    assert_same(without, train([bad, *good[:2], bad, bad, *good[2:]]), COUNTERS)
    assert optimizer.diagnostics["skipped_steps"] == 3


@either
def test_both_replicas_skip_what_is_bad_in_one(name, two_replicas):
    with two_replicas.scope():
        model = networks.dense()
        model.compile(OPTIMIZERS[name](), loss_function([]), jit_compile=False)
    initial = [np.array(v.numpy()) for v in model.trainable_variables]

    def train(data):
        batches = tf.data.Dataset.from_tensor_slices(data).batch(networks.BATCH)
        model.fit(batches, shuffle=False, verbose=0)

    good = good_batches(model)
    with_bad = with_bad_batches(*good)
    bad_only = tuple(part[: networks.BATCH * len(KINDS)] for part in with_bad)
    train(bad_only)
    for before, variable in zip(initial, model.trainable_variables, strict=True):
        for copy in variable.value.values:
            np.testing.assert_array_equal(copy.numpy(), before)
    start = state(model)
    train(good)
    without = state(model)
    for variable in [*model.variables, *model.optimizer.variables]:
        variable.assign(start[variable.path])
    train(with_bad)
    assert_same(without, state(model), COUNTERS)
    assert model.optimizer.diagnostics["skipped_steps"] == (GOOD + 1) * len(KINDS)
    for variable in [*model.trainable_variables, *model.optimizer.variables]:
        first, second = (copy.numpy() for copy in variable.value.values)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


@either
@pytest.mark.parametrize("factor", [np.nan, np.inf, -np.inf, 1e20])
def test_a_gradient_too_large_to_be_squared_is_infinite(name, factor):
    w, optimizer = tf.Variable([1.0, 2.0]), OPTIMIZERS[name]()
    optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    before = [w.numpy(), *(v.numpy() for v in optimizer.variables)]
    loss = optimizer.minimize(lambda: factor * w[0], [w])
    assert np.isfinite(loss) == (factor == 1e20)
    after = [w, *optimizer.variables]
    for old, new in zip(before, after, strict=True):
        if not new.name.startswith(COUNTERS):
            np.testing.assert_array_equal(old, new.numpy(), err_msg=new.name)
    assert optimizer.diagnostics["skipped_steps"] == 1


# Probes.


class Unprobed(FuzzyHess):
    def is_probe_step(self):
        return tf.constant(False)


def rooted(w, barrier):
    """Falls with `w`, and is NaN beyond the barrier."""
    return -tf.reduce_sum(tf.sqrt(barrier - w))


def test_a_curvature_probe_that_is_not_finite_is_dropped_and_the_step_taken():
    weights = []
    for make in (FuzzyHess, Unprobed):
        w, optimizer = tf.Variable(tf.zeros(8)), make(seed=0)
        for _ in range(4):
            optimizer.minimize(functools.partial(rooted, w, 0.005), [w])
        weights.append(w.numpy())
        expected = 2 if make is FuzzyHess else 0  # in the steps 0 and 2
        assert optimizer.diagnostics["dropped_probes"] == expected
        assert optimizer.diagnostics["probes"] == expected
        assert optimizer.diagnostics["mean_curvature"] == 0
        assert optimizer.diagnostics["skipped_steps"] == 0
        assert float(optimizer._curvature_weight) == 0
        for vector in optimizer._curvature.read([0]):
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
    averaged = float(optimizer._read_loss_statistics().slow)
    assert averaged == pytest.approx(np.mean(losses))
    assert w.numpy().all() and np.isfinite(w.numpy()).all()


def test_the_signs_of_a_dropped_probe_are_not_drawn_again():
    w, optimizer = tf.Variable(tf.zeros(8)), FuzzyHess(seed=0)
    optimizer.build([w])
    before = optimizer._seed_generator.state.numpy()
    optimizer.minimize(lambda: rooted(w, 0.005), [w])
    assert optimizer.diagnostics["dropped_probes"] == 1
    assert (optimizer._seed_generator.state.numpy() != before).any()


def test_a_loss_probe_that_is_not_finite_is_dropped():
    """The barrier follows the weights closer than their average does."""
    w, barrier = tf.Variable([10.0] * 4), tf.Variable([0.0] * 4)
    optimizer = FuzzyHess(seed=0, probe_interval=4)
    for _ in range(4):  # curvature probes at 0 and 2, a loss probe at 3
        barrier.assign(w + 0.012)
        optimizer.minimize(
            lambda: tf.reduce_sum(w**2 + 0.0 * tf.sqrt(barrier - w)), [w]
        )
    assert optimizer.diagnostics["probes"] == 3
    assert optimizer.diagnostics["dropped_probes"] == 1
    assert optimizer.diagnostics["mean_curvature"] == pytest.approx(2.0, rel=1e-2)
    for value in optimizer._read_averaged_loss():
        assert float(value) == 0


# Warnings.


def told(caught):
    return [warning for warning in caught if "in a row" in str(warning.message)]


def bad_batches(number):
    """Minibatches without a good one, for `networks.dense`."""
    count = number * networks.BATCH
    return np.full((count, 6), np.nan), np.zeros(count)


def compiled(optimizer):
    model = networks.dense()
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    return model


def test_minimize_warns_once_at_the_tenth_in_a_row():
    w, optimizer = tf.Variable([1.0, 2.0]), FuzzyHess(seed=0)

    def steps(factor, number):
        for _ in range(number):
            optimizer.minimize(lambda: factor * tf.reduce_sum(w**2), [w])

    steps(np.nan, PATIENCE - 1)
    steps(1.0, 1)
    steps(np.nan, PATIENCE - 1)
    with pytest.warns(UserWarning, match=r"skipped 10 steps.*numbers in the data"):
        steps(np.nan, 1)
    steps(np.nan, PATIENCE)
    steps(1.0, 1)
    with pytest.warns(UserWarning, match="39 of all steps"):
        steps(np.nan, PATIENCE)
    assert optimizer.diagnostics["skipped_in_a_row"] == PATIENCE


@pytest.mark.parametrize(
    "make",
    [FuzzyHess, SALO, lambda: SALO(use_ema=True)],
    ids=["fuzzyhess", "salo", "e"],
)
def test_fit_warns_at_its_end_and_leaves_the_weights(make):
    model = compiled(make())
    before = model.get_weights()
    fit(model, bad_batches(PATIENCE - 1))
    with pytest.warns(UserWarning, match="10 of all steps so far"):
        fit(model, bad_batches(1))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    fit(model, networks.data(model))
    assert model.optimizer.diagnostics["skipped_in_a_row"] == 0


def test_the_monitor_warns_after_the_epoch_and_logs_the_counters():
    model, seen = compiled(FuzzyHess(seed=0)), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        look = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(len(told(caught)))
        )
        callbacks = [FuzzyHessMonitor(), look]
        logged = fit(model, bad_batches(PATIENCE), epochs=2, callbacks=callbacks)
    assert seen == [1, 1]
    assert len(told(caught)) == 1
    assert logged.history["skipped_steps"] == [PATIENCE, 2 * PATIENCE]


def test_a_warning_that_is_due_outlives_saving(tmp_path):
    model = compiled(FuzzyHess(seed=0))
    with pytest.warns(UserWarning, match="in a row"):
        fit(model, bad_batches(PATIENCE))
    model.save(tmp_path / "told.keras")
    model.optimizer._warnings_due.assign(1)
    model.save(tmp_path / "due.keras")
    keras.saving.load_model(tmp_path / "told.keras").optimizer.warn_of_skipped_steps()
    with pytest.warns(UserWarning, match="10 of all steps"):
        keras.saving.load_model(
            tmp_path / "due.keras"
        ).optimizer.warn_of_skipped_steps()


# Numbers that divide by nothing.


def train(optimizer, loss_fn, w, steps):
    @tf.function(autograph=False)
    def step():
        return optimizer.minimize(loss_fn, [w])

    for _ in range(steps):
        step()
    for variable in optimizer.variables:
        assert np.isfinite(variable.numpy()).all(), variable.path


every_size = pytest.mark.parametrize("count", [1, 1_000_000])
every_scale = pytest.mark.parametrize("scale", [1e-8, 1e8])


def weights(count, scale):
    rng = np.random.default_rng(0)
    return tf.Variable(scale * rng.normal(size=count).astype("float32"))


@either
@every_size
@every_scale
def test_weights_without_a_gradient_stay_where_they_are(name, count, scale):
    w, optimizer = weights(count, scale), OPTIMIZERS[name](weight_decay=0.1)
    start = w.numpy()
    train(optimizer, lambda: 3.0 + tf.reduce_sum(0.0 * w**2), w, steps=12)
    np.testing.assert_array_equal(w.numpy(), start)
    optimizer.finalize_variable_values([w])
    np.testing.assert_array_equal(w.numpy(), start)
    assert optimizer.diagnostics["probes"] > 4
    assert optimizer.diagnostics["skipped_steps"] == 0


@either
@every_size
@every_scale
@pytest.mark.parametrize("unit", [1.0, "scale"])
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
