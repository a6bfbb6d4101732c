"""Validation of the averaged weights, which leaves no trace in the training."""

import keras
import numpy as np
import pytest

from keras_fuzzyhess import AveragesInValidation, FuzzyHess, averages_in
from tests.helpers import networks
from tests.helpers.fast import first_fast

OPTIMIZERS = {
    "FuzzyHess": lambda: FuzzyHess(seed=0),
    "Adam": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
}


def trained(optimizer, *callbacks):
    keras.utils.set_random_seed(0)
    model = networks.dense()
    model.compile(optimizer, networks.cross_entropy)
    x, y = networks.data(model)
    history = model.fit(
        x, y, epochs=3, validation_data=(x, y), callbacks=list(callbacks), verbose=0
    )
    return model, history.history["val_loss"][-1], model.evaluate(x, y, verbose=0)


@first_fast(optimizer=OPTIMIZERS)
@first_fast(times=[1, 2])
def test_validation_sees_the_averages_and_the_training_goes_on_to_the_bit(
    optimizer, times
):
    make = OPTIMIZERS[optimizer]
    callbacks = [AveragesInValidation() for _ in range(times)]
    model, validated, evaluated = trained(make(), *callbacks)
    reference, of_weights, _ = trained(make())
    assert validated == evaluated != of_weights
    for variable, expected in zip(
        (*model.variables, *model.optimizer.variables),
        (*reference.variables, *reference.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(variable, expected)


def test_the_weights_are_back_after_an_error():
    model, *_ = trained(FuzzyHess(seed=0))
    x, y = networks.data(model)
    for _ in range(2):  # `fit` had left the averages
        model.train_on_batch(x, y)
    before = model.get_weights()
    with pytest.raises(RuntimeError), averages_in(model):
        assert np.any(model.get_weights()[0] != before[0])
        raise RuntimeError
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.slow
def test_without_averages_the_weights_are_validated():
    _, validated, evaluated = trained(FuzzyHess(seed=0, use_ema=False))
    with_callback = trained(FuzzyHess(seed=0, use_ema=False), AveragesInValidation())
    assert with_callback[1] == validated == evaluated
