"""Every layer of Keras, fed in every way, trains as in eager code."""

import inspect

import keras
import pytest

from tests.sweep import data_kinds, places
from tests.sweep.budget import sample
from tests.sweep.checks import (
    OPTIMIZERS,
    assert_fit_is_as_in_eager_code,
    assert_fit_trains,
    compiled,
    first_weights,
    seeded,
)
from tests.sweep.layer_table import (
    LAYERS,
    LEFT_OUT,
    NEEDS_INPUT,
    NEEDS_SHAPES,
    UNCOMPARED,
)

WAYS = [
    ("arrays", places.functional),
    ("arrays", places.sequential),
    ("dataset", places.functional),
    ("dataset", places.subclassed),
    ("generator", places.functional),
    ("generator", places.sequential),
    ("unknown_shapes", places.functional),  # without an Input Keras makes no weights
    ("py_dataset", places.functional),
    ("py_dataset", places.subclassed),
]
"""Kinds of data, and whether the network that is fitted to them has weights before."""

CELLS = [
    pytest.param(
        layer,
        kind,
        form,
        optimizer,
        id="-".join([layer, kind, form.__name__, optimizer]),
    )
    for layer in LAYERS
    for kind, form in WAYS
    for optimizer in OPTIMIZERS
    if not (kind == "unknown_shapes" and layer in NEEDS_SHAPES)
    if not (form is not places.functional and layer in NEEDS_INPUT)
]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of a generator
@pytest.mark.parametrize(("layer", "kind", "form", "optimizer"), sample(CELLS, 10))
def test_layer_trains(layer, kind, form, optimizer):
    place = LAYERS[layer]
    x, y = place.data()

    def network():
        return compiled(form(place), OPTIMIZERS[optimizer]())

    if kind == "arrays" and layer not in UNCOMPARED:
        assert_fit_is_as_in_eager_code(network, data_kinds.arrays(x, y), (x, y))
    else:
        start = first_weights(seeded(network), x)
        assert_fit_trains(network, lambda: data_kinds.KINDS[kind](x, y), start)


def test_every_layer_is_in_the_sweep_or_left_out_with_a_reason():
    classes = {
        value
        for value in vars(keras.layers).values()
        if inspect.isclass(value) and issubclass(value, keras.Layer)
    }
    swept = {getattr(keras.layers, name) for name in [*LAYERS, *LEFT_OUT]}
    assert swept == classes
    assert not set(LAYERS) & set(LEFT_OUT)
    assert {kind for kind, _ in WAYS} == set(data_kinds.KINDS)
