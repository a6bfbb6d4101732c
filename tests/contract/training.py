"""What holds in every cell: a training that measures right, learns and stays whole."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from tests.contract.problems import Problem, dense
from tests.helpers import networks
from tests.helpers.small_training import (
    has_bases,
    measures_curvature,
    probes_in,
)

COMPARED = 5
"""Epochs in which each step is compared: 20 steps, with probes of every kind."""

TOLERANCE = 1e-4
"""Of weights and of what was measured, beside eager code."""

IN_EIGENBASES = 1e-2
"""The same there: where gradients have shown few directions yet, rounding has a part in
which basis the others get."""

FURTHER = 35
"""Epochs after them, at whose end every mode has learned every problem."""

LEARNED = 3 / 4
"""Share of the first loss that is left at most."""

Train = Callable[[keras.Model, tf.data.Dataset, int], None]
"""Trains a compiled model for a number of epochs."""


def fit(model, batches, epochs, **kwargs):
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, **kwargs)


def loop(step: Callable) -> Callable:
    """A loop of the user's own, which calls `step(model, batch)`."""

    def train(model, batches, epochs, before_epoch=lambda model, epoch: None):
        for epoch in range(epochs):
            before_epoch(model, epoch)
            for batch in batches:
                step(model, batch)
        model.optimizer.finalize_variable_values(model.trainable_variables)

    return train


def loss_of(model, batch, training=True):
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    return model.compute_loss(x, y, model(x, training=training), weights)


def mean_loss(model, problem):
    return np.mean(
        [float(loss_of(model, b, training=False)) for b in problem.batches()]
    )


def minimize_step(model, batch):
    return model.optimizer.minimize(
        lambda: loss_of(model, batch), model.trainable_variables
    )


minimize = loop(minimize_step)
"""In eager code: the closure form, which calls the loss function again."""


def count_traces(optimizer: FuzzyHess) -> Callable[[], int]:
    """How often `apply` is going to be called: once for each trace of a step."""
    apply, calls = optimizer.apply, []

    def counted(*args, **kwargs):
        calls.append(1)
        apply(*args, **kwargs)

    optimizer.apply = counted
    return lambda: len(calls)


def assert_finite(model):
    """The state is finite and as precise as the weights."""
    for variable in [*model.variables, *model.optimizer.variables]:
        assert np.isfinite(variable.numpy()).all(), variable.path
    precision = keras.config.dtype_policy().variable_dtype
    assert {v.dtype for v in model.trainable_variables} == {precision}
    momenta = [v for v in model.optimizer.variables if v.name.endswith(".momentum")]
    assert {v.dtype for v in momenta} == {precision}


def assert_whole(model):
    """So it is, and the weights were probed."""
    assert_finite(model)
    # Keras's optimizer for loss scaling is around it.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    diagnostics = optimizer.diagnostics
    steps = int(optimizer.iterations.numpy())
    assert diagnostics["probes"] == probes_in(steps, optimizer) > 0
    if measures_curvature(optimizer):
        assert diagnostics["mean_curvature"] > 0, "a probe saw the gradients change"


def holds(
    optimizer: Callable[[], FuzzyHess],
    problem: Problem | None = None,
    train: Train = fit,
    *,
    eager: Train = minimize,
    scope: Callable = contextlib.nullcontext,
    prepare: Callable[[keras.Model], None] = lambda model: None,
    tolerance: float = TOLERANCE,
    further: int = FURTHER,
    **compiled,
) -> keras.Model:
    """Trains twice with one trace, and compares the first training with eager code.

    Args:
        optimizer: Makes the optimizer of the cell.
        problem: The network and its data.
        train: How it is trained.
        eager: How it is trained in eager code.
        scope: Makes the context in which model and optimizer are made.
        prepare: What is done to the compiled model before it is trained.
        tolerance: Of the distance of the weights from those that eager code reaches on
            one device, relative to how far these moved; and of what was measured.
        further: Epochs at whose end it has learned.
        **compiled: Further arguments of `compile`.

    Returns:
        The trained model.
    """
    problem = problem or dense()
    with scope():
        model = problem.compiled(optimizer(), **compiled)
    reference = problem.compiled(optimizer())
    for each in (model, reference):
        prepare(each)
    traces = count_traces(model.optimizer)
    start = [v.numpy() for v in model.trainable_variables]

    first_loss, same = (mean_loss(each, problem) for each in (model, reference))
    if tolerance == TOLERANCE and has_bases(reference.optimizer):
        tolerance = IN_EIGENBASES
    assert first_loss == pytest.approx(same, rel=tolerance)

    eager(reference, problem.batches(), COMPARED)
    train(model, problem.batches(), COMPARED)

    error = networks.relative_error(
        model.trainable_variables, reference.trainable_variables, origin=start
    )
    assert error < tolerance
    measured, expected = (m.optimizer.diagnostics for m in (model, reference))
    is_measured = measures_curvature(reference.optimizer)
    assert (expected["mean_curvature"] > 0) == is_measured
    # The trend is made of small differences of losses, in which rounding shows more.
    for name, factor in (("mean_curvature", 1), ("loss_trend", 10)):
        rel = factor * tolerance
        near = pytest.approx(expected[name], rel=rel, abs=tolerance / 10)
        assert measured[name] == near

    replicas = model.distribute_strategy.num_replicas_in_sync
    assert traces() == replicas, "a step is traced once"
    train(model, problem.batches(), further)
    assert traces() == replicas
    assert mean_loss(model, problem) < LEARNED * first_loss
    assert_whole(model)
    return model
