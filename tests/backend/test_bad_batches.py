"""What is not finite leaves no trace but a counter."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.measure.probe_schedule import ProbeSchedule
from tests.helpers import networks
from tests.helpers.fast import each_value_fast
from tests.helpers.small_training import OPTIMIZERS, either, fit

GOOD = 12
COUNTERS = ("skipped_steps", "skipped_in_a_row")


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


def test_bad_batches_come_at_probes_of_every_kind_and_between():
    """What the experiment below relies on."""
    kinds = np.array([ProbeSchedule(4).due(i) for i in range(GOOD)]).T
    for kind in (*kinds, ~np.any(kinds, axis=0)):
        assert kind.any()


@each_value_fast(situation=SITUATIONS, name=OPTIMIZERS)
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


@pytest.mark.slow
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


@either
@pytest.mark.parametrize("factor", [1e25, 1e39])
def test_a_gradient_too_large_for_float32_is_infinite_in_float64_too(name, factor):
    """Though loss and squares are finite; means over all weights would not be."""
    start = np.array([1e-7, 2e-7])
    w, optimizer = tf.Variable(start), OPTIMIZERS[name]()
    for _ in range(3):
        loss = optimizer.minimize(lambda: factor * w[0] + w[1] ** 2, [w])
    assert np.isfinite(np.float32(loss))
    np.testing.assert_array_equal(w.numpy(), start)
    assert optimizer.diagnostics["skipped_steps"] == 3
