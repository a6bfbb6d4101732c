"""What holds in every cell: the weights move, stay finite, and go where they should."""

import keras
import numpy as np

from keras_fuzzyhess import SALO, FuzzyHess
from tests import networks
from tests.contract.training import minimize
from tests.sweep.data_kinds import KINDS, dataset
from tests.sweep.places import Place

OPTIMIZERS = {
    # Probes of every kind within three steps.
    "fuzzyhess": lambda **kwargs: FuzzyHess(seed=1, probe_interval=2, **kwargs),
    "salo": lambda **kwargs: SALO(**kwargs),
}

TOLERANCE = 1e-3
"""Of the distance to the weights of eager code, relative to how far these moved."""


def compiled(network, optimizer, loss="mse"):
    network.compile(optimizer, loss, jit_compile=False)
    return network


def fit(model, data, **kwargs):
    return model.fit(**data, shuffle=False, verbose=0, **kwargs)


def values(variables):
    return [v.numpy() for v in variables]


def assert_moved_and_finite(model, start):
    """Some weights of each layer that has any moved, and everything is finite."""
    for variable in [*model.variables, *model.optimizer.variables]:
        if variable.dtype != "string":
            assert np.isfinite(variable.numpy()).all(), variable.path
    moved = {}
    for variable, before in zip(model.trainable_variables, start, strict=True):
        layer = variable.path.rsplit("/", 1)[0]
        moved[layer] = moved.get(layer, False) or (variable.numpy() != before).any()
    assert all(moved.values()), moved
    assert model.optimizer.diagnostics["probes"] > 0


def assert_trains(place: Place, optimizer, kind: str, *, built: bool) -> None:
    """Two epochs; with arrays, the first ends where eager code ends.

    Args:
        place: Of the layer.
        optimizer: Makes the optimizer.
        kind: How the data are handed over.
        built: Whether the weights exist when `fit` is called.
    """

    def network(built, optimizer):
        keras.utils.set_random_seed(0)
        return compiled(place.network(built=built), optimizer)

    x, y = place.data()
    reference = network(built, optimizer())
    reference(x)  # makes the weights, where there are none
    start = values(reference.trainable_variables)
    model = network(built, optimizer())
    fit(model, KINDS[kind](x, y))
    if kind == "arrays":
        minimize(reference, dataset(x, y)["x"], 1)
        error = networks.relative_error(
            model.trainable_variables, reference.trainable_variables, origin=start
        )
        assert error < TOLERANCE
    fit(model, KINDS[kind](x, y))
    assert_moved_and_finite(model, start)
