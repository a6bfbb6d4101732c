"""What `fit` leaves, and what is averaged, satisfies the constraints of the layers."""

import keras
import numpy as np
import pytest

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import each_value_fast, first_fast
from tests.helpers.small_training import assert_same, compiled, fit


@keras.saving.register_keras_serializable(package="tests")
class Even(keras.constraints.Constraint):
    """Columns whose mean is one; what is no projection is applied once a step."""

    def __call__(self, w):
        return w - keras.ops.mean(w, axis=0, keepdims=True) + 1.0


@keras.saving.register_keras_serializable(package="tests")
class Shrinking(keras.constraints.Constraint):
    """No projection."""

    def __call__(self, w):
        return 0.5 * w


def norms(w):
    return np.linalg.norm(w, axis=0)


CONSTRAINTS = {
    "non_neg": (keras.constraints.NonNeg(), lambda w: w.min() >= 0),
    "max_norm": (
        keras.constraints.MaxNorm(0.3),
        lambda w: norms(w).max() < 0.3 + 1e-6,
    ),
    "unit_norm": (
        keras.constraints.UnitNorm(),
        lambda w: np.abs(norms(w) - 1).max() < 1e-6,
    ),
    "min_max_norm": (
        keras.constraints.MinMaxNorm(0.5, 0.6),
        lambda w: norms(w).min() > 0.5 - 1e-6 and norms(w).max() < 0.6 + 1e-6,
    ),
    "even": (Even(), lambda w: np.abs(w.mean(axis=0) - 1).max() < 1e-5),
}


def network(constraint):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, "tanh", kernel_constraint=constraint),
            layers.Dense(networks.CLASSES),
        ]
    )


def train(constraint, epochs, **kwargs):
    model = compiled(FuzzyHess(seed=0, **kwargs), network(constraint))
    fit(model, networks.data(model, batches=4), epochs=epochs)
    return model


@each_value_fast(use_ema=[True, False], epochs=[6, 1], name=CONSTRAINTS)
def test_fit_leaves_what_the_constraint_allows(name, epochs, use_ema):
    constraint, holds = CONSTRAINTS[name]
    assert holds(train(constraint, epochs, use_ema=use_ema).get_weights()[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 2},
        {"weight_decay": 0.1},
    ],
)
def test_with_other_features_of_keras(name, settings):
    constraint, holds = CONSTRAINTS[name]
    assert holds(train(constraint, 4, **settings).get_weights()[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_on_two_replicas(name, two_replicas):
    constraint, holds = CONSTRAINTS[name]
    with two_replicas.scope():
        model = train(constraint, 3)
    assert holds(model.get_weights()[0])


@first_fast(name=CONSTRAINTS)
def test_validation_sees_what_the_constraint_allows(name):
    constraint, holds = CONSTRAINTS[name]
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append(self.model.get_weights()[0])

    model = compiled(FuzzyHess(seed=0), network(constraint))
    data = networks.data(model, batches=4)
    fit(
        model,
        data,
        epochs=3,
        validation_data=data,
        callbacks=[AveragesInValidation(), Spy()],
    )
    assert seen and all(map(holds, seen))


def test_the_average_is_of_constrained_weights():
    constraint = Shrinking()
    model = compiled(FuzzyHess(seed=0), network(constraint))
    x, y = networks.data(model)
    weights = []
    for _ in range(2):  # after the second step the average is equal to the weights
        model.train_on_batch(x, y)
        weights = model.get_weights()
    averages = model.optimizer._model_variables_moving_average
    np.testing.assert_allclose(weights[0], averages[0], rtol=1e-6)
    assert np.abs(weights[0]).max() < 0.3, "half of a half"


def test_weights_without_a_gradient_are_not_constrained():
    """As Keras has it."""
    model = compiled(FuzzyHess(seed=0), network(Even()))
    idle = keras.Variable([5.0, -5.0], name="idle")
    idle.constraint = keras.constraints.NonNeg()
    model.optimizer.build([*model.trainable_variables, idle])
    fit(model, networks.data(model, batches=4), epochs=2)
    model.optimizer.finalize_variable_values([idle])
    assert_same(idle.numpy(), [5.0, -5.0])
    averages = model.optimizer._model_variables_moving_average
    assert_same(averages[-1].numpy(), [5.0, -5.0])
