"""Quantized layers: scales that Keras overwrites, adapters beside frozen weights."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_fuzzyhess import SALO, FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import each_value_fast
from tests.helpers.small_training import assert_same, compiled, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning")


def float8():
    model = networks.dense()
    model.quantize("float8")
    return model


def adapters():
    model = networks.dense()
    for layer in model.layers:
        layer.enable_lora(2)
    return model


def int8_with_adapters():
    model = networks.dense()
    model.quantize("int8")
    for layer in model.layers:
        layer.enable_lora(2)
    return model


def embedding_with_adapter():
    embedding = layers.Embedding(11, 8)
    model = keras.Sequential(
        [
            layers.Input((7,), dtype="int32"),
            embedding,
            layers.GlobalAveragePooling1D(),
            layers.Dense(networks.CLASSES),
        ]
    )
    embedding.enable_lora(2)
    return model


@each_value_fast(
    build=[float8, adapters, int8_with_adapters, embedding_with_adapter],
    make=[
        lambda: FuzzyHess(seed=0, probe_interval=2, curvature_power=0.5),
        lambda: FuzzyHess(seed=0, gradient_accumulation_steps=2, weight_decay=0.1),
        lambda: FuzzyHess(seed=0, use_ema=False),
        SALO,
    ],
)
def test_quantized_models_train_and_come_back(build, make, tmp_path):
    model = compiled(make(), build())
    losses = fit(model, networks.data(model, 4), epochs=6).history["loss"]
    assert losses[-1] < losses[0]
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    state = [v.numpy() for v in model.optimizer.variables]
    fit(model, networks.data(model, 4))
    model.load_weights(path)
    assert_same([v.numpy() for v in model.optimizer.variables], state)


@pytest.mark.slow
def test_scales_are_overwritten_and_have_no_state():
    """As with Adam: they are no weights, and a probe does not shift them."""
    model = float8()
    scales = [v for v in model.trainable_variables if v.overwrite_with_gradient]
    weights = [v for v in model.trainable_variables if not v.overwrite_with_gradient]
    assert len(scales) == 12
    for make in (FuzzyHess, SALO):
        alone, among = make(), make()
        alone.build(weights)
        among.build(model.trainable_variables)
        assert [v.shape for v in among.variables] == [v.shape for v in alone.variables]
    x, y = networks.data(model)
    first = {}
    for optimizer in (keras.optimizers.Adam(), FuzzyHess(seed=0), SALO()):
        again = float8()
        again.set_weights(model.get_weights())
        compiled(optimizer, again).train_on_batch(x, y)
        first[optimizer.name] = [
            v.numpy() for v in again.trainable_variables if v.overwrite_with_gradient
        ]
    adam, *ours = first.values()
    for values in ours:
        for value, expected in zip(values, adam, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-6)
