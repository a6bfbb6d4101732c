"""Every callback of Keras runs in a training."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from tests.sweep.budget import sample
from tests.sweep.callback_table import CALLBACKS, LEFT_OUT
from tests.sweep.checks import (
    OPTIMIZERS,
    assert_moved_and_finite,
    compiled,
    first_weights,
    fit,
    seeded,
)
from tests.sweep.data_kinds import arrays

CELLS = [
    (callback, built, optimizer)
    for callback in CALLBACKS
    for built in (True, False)
    for optimizer in OPTIMIZERS
    if built or callback != "BackupAndRestore"  # which needs weights
]


@pytest.mark.parametrize(("callback", "built", "optimizer"), sample(CELLS, 2))
def test_callback_runs(callback, built, optimizer, tmp_path):
    """Twice, with the same object and validation: it starts anew, or goes on."""
    x, y = np.random.default_rng(0).normal(size=(2, 10, 3)).astype("float32")
    averages = {"use_ema": True} if callback == "SwapEMAWeights" else {}

    def network():
        first = [layers.Input((3,))] if built else []
        model = keras.Sequential([*first, layers.Dense(4, "tanh"), layers.Dense(3)])
        return compiled(model, OPTIMIZERS[optimizer](**averages))

    start = first_weights(seeded(network), x)
    model, made = seeded(network), CALLBACKS[callback](tmp_path)
    for _ in range(2):
        log = fit(
            model, arrays(x, y), epochs=2, validation_data=(x, y), callbacks=[made]
        )
    assert np.isfinite(log.history["val_loss"]).all()
    assert_moved_and_finite(model, start)


def test_every_callback_is_in_the_sweep_or_left_out_with_a_reason():
    classes = {
        name for name, value in vars(keras.callbacks).items() if inspect.isclass(value)
    }
    assert {*CALLBACKS, *LEFT_OUT} == classes
