"""Keras's dynamic loss scaling around the optimizer: overflow, files, callbacks."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_fuzzyhess import AveragesInValidation, FuzzyHess, FuzzyHessMonitor
from tests.helpers.fast import first_fast
from tests.helpers.replicas import mirrored_strategy
from tests.helpers.small_training import assert_same, probes_in

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")
OPTIMIZERS = {
    "FuzzyHess": lambda: FuzzyHess(seed=1, probe_interval=2, curvature_power=0.5),
    "SALO": lambda: FuzzyHess.salo(),
}


@pytest.fixture(autouse=True)
def float16():
    keras.config.set_dtype_policy("mixed_float16")


def compiled(optimizer, scale=2.0**15, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(1)]
    )
    scaled = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=scale)
    model.compile(scaled, "mse", **kwargs)
    return model


def fit(model, epochs=2, **kwargs):
    model.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **kwargs)


@first_fast(name=OPTIMIZERS)
def test_steps_that_overflow_are_skipped_once(name):
    """The scale is halved until none does; the optimizer has not seen any of them."""
    model = compiled(OPTIMIZERS[name](), scale=2.0**24)
    fit(model)
    optimizer = model.optimizer.inner_optimizer
    halvings = 24 - np.log2(float(model.optimizer.dynamic_scale))
    assert 0 < halvings < 12
    halvings = int(halvings)
    assert int(optimizer.iterations) == 12 - halvings
    assert optimizer.diagnostics["skipped_steps"] == 0
    assert optimizer.diagnostics["probes"] == probes_in(12 - halvings, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_xla_compiles_the_first_step(name, built):
    """Weights of more than a few elements are no constants of the traced function."""
    keras.utils.set_random_seed(0)
    first = [layers.Input((6,))] if built else []
    model = keras.Sequential([*first, layers.Dense(64, "tanh"), layers.Dense(1)])
    model.compile(OPTIMIZERS[name](), "mse", jit_compile=True)
    fit(model)
    assert model.optimizer.inner_optimizer.diagnostics["probes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_training_goes_on_to_the_bit(name, tmp_path):
    model = compiled(OPTIMIZERS[name](), steps_per_execution=2)
    fit(model)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert float(restored.optimizer.dynamic_scale) == float(
        model.optimizer.dynamic_scale
    )
    for each in (model, restored):
        fit(each)
    assert_same(
        [v.numpy() for v in [*model.variables, *model.optimizer.variables]],
        [v.numpy() for v in [*restored.variables, *restored.optimizer.variables]],
    )


def test_callbacks_see_the_optimizer_inside():
    model = compiled(FuzzyHess(seed=1))
    monitor = FuzzyHessMonitor(set_total_steps=True)
    callbacks = [AveragesInValidation(), monitor]
    fit(model, callbacks=callbacks, validation_data=(X, Y))
    assert model.optimizer.inner_optimizer.total_steps == 12
    assert monitor.history["step"] == [6, 12]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_replicas(name):
    with mirrored_strategy().scope():
        model = compiled(OPTIMIZERS[name](), jit_compile=False)
    alone = compiled(OPTIMIZERS[name](), jit_compile=False)
    for each in (model, alone):
        fit(each)
    measured, expected = (
        m.optimizer.inner_optimizer.diagnostics for m in (model, alone)
    )
    assert measured["probes"] == expected["probes"] > 0
    near = pytest.approx(expected["mean_curvature"], rel=0.05)
    assert measured["mean_curvature"] == near


def test_an_embedding_s_slices_were_divided_by_the_scale_too():
    """So the loss is found, and what is measured is the same as without a scale."""

    def trained(scale):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                layers.Input((4,), dtype="int32"),
                layers.Embedding(30, 8, dtype="float32"),
                layers.Flatten(),
                layers.Dense(1, dtype="float32"),
            ]
        )
        optimizer = FuzzyHess(seed=1, probe_interval=2)
        if scale:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=scale
            )
        else:
            keras.config.set_dtype_policy("float32")
        model.compile(optimizer, "mse")
        x = np.random.default_rng(1).integers(0, 30, (96, 4))
        model.fit(x, Y, batch_size=16, shuffle=False, verbose=0)
        return model.get_weights()

    with_scale = trained(2.0**10)
    for one, other in zip(with_scale, trained(None), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
