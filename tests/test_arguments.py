"""Arguments survive their configuration, or are refused by name."""

import keras
import pytest

from keras_fuzzyhess import FuzzyHess


@pytest.mark.parametrize(
    "make",
    [
        lambda: FuzzyHess(0.5, 0.8, 0.99, 0.25, 5, 0.02, 100, seed=4, weight_decay=0.1),
        lambda: FuzzyHess(keras.optimizers.schedules.CosineDecay(1.0, 10)),
        lambda: FuzzyHess.salo(epsilon=0.5, beta_1=0.8, clipnorm=1.0),
    ],
)
def test_config_round_trip(make):
    optimizer = make()
    config = keras.optimizers.serialize(optimizer)
    restored = keras.optimizers.deserialize(config)
    assert type(restored) is type(optimizer)
    assert restored.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    "name, values",
    {
        "beta_1": [1.0, -0.1, "0.9", None, float("nan")],
        "beta_2": [1.0, -0.1, True],
        "curvature_power": [-0.5, 1.5, float("nan")],
        "probe_interval": [1, 0, 2.5, None],
        "probe_radius": [0.0, -1.0, float("inf"), "small"],
        "total_steps": [0, -5, 10.0],
        "seed": [0.5, "a", -1, 2**31],
        "learning_rate": [-1.0, 1e7, float("nan"), "fast"],
        "weight_decay": [-0.1, float("inf"), "0.1"],
        "clipnorm": [0.0, -1.0, float("nan"), "a"],
        "clipvalue": [0.0, [1.0]],
        "global_clipnorm": [-1.0, 1e13],
        "loss_scale_factor": [0.0, 1e300, b"8"],
        "use_ema": [1, "no"],
        "ema_momentum": [1.0, None, -0.1],
        "ema_overwrite_frequency": [0, 2.5],
        "gradient_accumulation_steps": [1, 2.5, 2**70],
        "name": [3, b"name"],
    }.items(),
)
def test_refuses_arguments_out_of_range(name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"`{name}` must be.*Received: {name}="):
            FuzzyHess(**{name: value})


def test_refuses_unknown_rule_bases():
    with pytest.raises(TypeError, match="RuleBase"):
        FuzzyHess(rule_base=3)
    with pytest.raises(ValueError, match="epsilon"):
        FuzzyHess.salo(epsilon=0)
