"""Every layer of Keras, fed in every way, built or not, trains as in eager code."""

import inspect
import itertools

import keras
import pytest

from tests.sweep.budget import sample
from tests.sweep.checks import OPTIMIZERS, assert_trains
from tests.sweep.data_kinds import KINDS
from tests.sweep.layer_table import LAYERS, LEFT_OUT, trained_by_keras

CELLS = [
    (layer, kind, optimizer, built)
    for layer, kind, optimizer, built in itertools.product(
        LAYERS, KINDS, OPTIMIZERS, [True, False]
    )
    if trained_by_keras(layer, kind, built=built)
]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of a generator
@pytest.mark.parametrize(("layer", "kind", "optimizer", "built"), sample(CELLS, 10))
def test_layer_trains(layer, kind, optimizer, built):
    assert_trains(LAYERS[layer], OPTIMIZERS[optimizer], kind, built=built)


def test_every_layer_is_in_the_sweep_or_left_out_with_a_reason():
    classes = {
        value
        for value in vars(keras.layers).values()
        if inspect.isclass(value) and issubclass(value, keras.Layer)
    }
    swept = {getattr(keras.layers, name) for name in [*LAYERS, *LEFT_OUT]}
    assert swept == classes
    assert not set(LAYERS) & set(LEFT_OUT)
