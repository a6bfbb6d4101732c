"""The recipes of the optimizers that the ImageNet example compares."""

import keras
import numpy as np
import pytest
from networks import IMAGE_SIZES, build_network
from recipes import Plan, make_optimizer

from keras_fuzzyhess import FuzzyHess

PLAN = Plan(batch_size=512, steps=200, seed=3)


def rates(optimizer):
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in range(PLAN.steps + 1)]


@pytest.mark.parametrize(
    "name, top, given",
    [
        ("sgd", 0.2, None),
        ("adam", 1e-3, None),
        ("adamw", 1e-3, None),
        ("sgd", 3.0, 3.0),
    ],
)
def test_baselines_warm_up_and_end_at_zero(name, top, given):
    values = rates(make_optimizer(name, PLAN, given))
    assert values[0] == 0 and np.argmax(values) == 10
    assert max(values) == pytest.approx(top)
    assert values[-1] == pytest.approx(0, abs=1e-6 * top)
    assert np.all(np.diff(values[10:]) < 0)


def test_fuzzyhess_is_as_it_is_apart_from_the_plan():
    config = make_optimizer("fuzzyhess", PLAN).get_config()
    expected = FuzzyHess(total_steps=200, seed=3).get_config()
    assert config == expected
    assert float(make_optimizer("fuzzyhess", PLAN, 0.5).learning_rate) == 0.5


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_kernels_decay(name):
    model = build_network("small", 16, 3)
    optimizer = make_optimizer(name, PLAN)
    optimizer.build(model.trainable_variables)
    decaying = [
        v.path.split("/")[-1]
        for v in model.trainable_variables
        if optimizer._use_weight_decay(v)
    ]
    assert decaying == ["kernel"] * 4


def test_every_network_is_one_of_keras():
    for name in IMAGE_SIZES:
        assert name == "small" or callable(getattr(keras.applications, name))


def test_logits_are_float32_under_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_network("small", 16, 3)
    assert model.output.dtype == "float32"
    assert model.layers[2].compute_dtype == "bfloat16"
