"""Every loss of Keras trains as in eager code."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from tests.sweep.budget import sample
from tests.sweep.checks import OPTIMIZERS, assert_fit_is_as_in_eager_code, compiled
from tests.sweep.data_kinds import arrays
from tests.sweep.loss_table import LEFT_OUT, LOSSES, ROWS

CELLS = [(loss, optimizer) for loss in LOSSES for optimizer in OPTIMIZERS]


@pytest.mark.parametrize(("loss", "optimizer"), sample(CELLS, 2))
def test_loss_trains(loss, optimizer):
    make, head, y = LOSSES[loss]
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")

    def network():
        last = [layer() for layer in head]
        model = keras.Sequential([layers.Input((4,)), layers.Dense(4, "tanh"), *last])
        return compiled(model, OPTIMIZERS[optimizer](), make())

    assert_fit_is_as_in_eager_code(network, arrays(x, y), (x, y))


def test_every_loss_is_in_the_sweep_or_left_out_with_a_reason():
    classes = {
        name
        for name, value in vars(keras.losses).items()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss)
    }
    assert {*LOSSES, *LEFT_OUT} == classes
