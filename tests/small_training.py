"""Trainings of a few steps: either optimizer, a small network, minibatches in order."""

import pytest

from keras_fuzzyhess import SALO, FuzzyHess
from tests import networks

OPTIMIZERS = {
    # Probes of both kinds, and steps between them without.
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
