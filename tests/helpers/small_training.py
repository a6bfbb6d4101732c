"""Trainings of a few steps: either optimizer, a small network, minibatches in order.

And what tests look at in them.
"""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.measure.probe_schedule import ProbeSchedule
from tests.helpers import networks

OPTIMIZERS = {
    # Probes of every kind, and steps between them without.
    "fuzzyhess": lambda **kwargs: FuzzyHess(seed=0, probe_interval=4, **kwargs),
    "salo": lambda **kwargs: SALO(**kwargs),
}
either = pytest.mark.parametrize("name", OPTIMIZERS)


def compiled(optimizer, model=None, **kwargs):
    model = model or networks.dense()
    model.compile(optimizer, networks.cross_entropy, jit_compile=False, **kwargs)
    return model


def fit(model, data, **kwargs):
    x, y = data
    arguments = {"batch_size": networks.BATCH, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(x, y, **arguments)


def begun(optimizer, model=None):
    """As after some steps, none of which need be traced."""
    model = compiled(optimizer, model)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            value = rng.integers(1, 100, variable.shape)
            variable.assign(tf.cast(value, variable.dtype))
    return model


def probes_in(steps, optimizer):
    if isinstance(optimizer, SALO):
        return steps
    due = [ProbeSchedule(optimizer.probe_interval).due(i) for i in range(steps)]
    if not optimizer.direction.needs_curvature:
        due = [d._replace(curvature=False) for d in due]
    return np.sum(due)


def has_bases(optimizer):
    """Whether its direction, or that of the one in it, works in eigenbases."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer.algorithm.direction.basis is not None


def measures_curvature(optimizer):
    """Whether its direction asks for it; one of SALO always does."""
    return optimizer.algorithm.curvature is not None


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)
