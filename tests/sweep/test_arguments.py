"""Every argument of Keras's optimizers trains as in eager code."""

import inspect

import keras
import pytest

from tests.sweep import places
from tests.sweep.argument_table import ARGUMENTS
from tests.sweep.budget import sample
from tests.sweep.checks import OPTIMIZERS, assert_fit_is_as_in_eager_code, compiled
from tests.sweep.data_kinds import arrays
from tests.sweep.layer_table import LAYERS

CELLS = [(argument, optimizer) for argument in ARGUMENTS for optimizer in OPTIMIZERS]


@pytest.mark.parametrize(("argument", "optimizer"), sample(CELLS, 2))
def test_argument_trains(argument, optimizer):
    rows = LAYERS["Dense"].data()
    given = {argument: ARGUMENTS[argument]}
    if argument == "ema_overwrite_frequency":
        given["use_ema"] = True  # SALO has no averages

    def network():
        model = places.functional(LAYERS["Dense"])
        return compiled(model, OPTIMIZERS[optimizer](**given))

    assert_fit_is_as_in_eager_code(network, arrays(*rows), rows)


def test_every_argument_is_in_the_sweep():
    (shared,) = (
        base
        for base in keras.optimizers.Optimizer.mro()
        if base.__name__ == "BaseOptimizer"
    )
    arguments = inspect.signature(shared).parameters
    assert set(ARGUMENTS) == set(arguments) - {"kwargs"}
