"""What holds in every cell: the weights move, stay finite, and go where they should."""

import keras
import numpy as np

from keras_fuzzyhess import SALO, FuzzyHess
from tests.contract.training import minimize
from tests.helpers import networks
from tests.sweep.data_kinds import dataset

OPTIMIZERS = {
    # Probes of every kind within three steps.
    "fuzzyhess": lambda **kwargs: FuzzyHess(
        **{"seed": 1, "probe_interval": 2, "curvature_power": 0.5, **kwargs}
    ),
    "salo": lambda **kwargs: SALO(**kwargs),
}

TOLERANCES = {"fuzzyhess": 1e-3, "salo": 1e-2}
"""Of the distance to the weights of eager code, relative to how far these moved. SALO
divides by the curvature plus 0.1; where that is small, so is what rounding is divided
by."""


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


def seeded(network):
    keras.utils.set_random_seed(0)
    return network()


def assert_fit_trains(network, data, start) -> None:
    """Two epochs of `fit`.

    Args:
        network: Makes the compiled network.
        data: Makes the arguments of `fit`.
        start: The first weights.
    """
    model = seeded(network)
    for _ in range(2):
        fit(model, data())
    assert_moved_and_finite(model, start)


def assert_fit_is_as_in_eager_code(network, data, rows) -> None:
    """The same, and the first epoch ends with the weights where eager code ends.

    Args:
        network: Makes the compiled network.
        data: The arguments of `fit`.
        rows: Tuple of inputs and targets, the same ones.
    """
    reference, model = seeded(network), seeded(network)
    start = first_weights(reference, rows[0])
    fit(model, data)
    minimize(reference, dataset(*rows)["x"], 1)
    error = networks.relative_error(
        model.trainable_variables, reference.trainable_variables, origin=start
    )
    assert error < TOLERANCES[model.optimizer.name]
    fit(model, data)
    assert_moved_and_finite(model, start)


def first_weights(model, x) -> list[np.ndarray]:
    """After a call that makes them, where there are none.

    What the call changed is put back, for recurrent layers draw noise even where they
    are not trained.
    """
    before = [(variable, variable.numpy()) for variable in model.variables]
    model(x)
    for variable, value in before:
        variable.assign(value)
    return values(model.trainable_variables)
