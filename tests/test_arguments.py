"""Arguments survive their configuration, or are refused by name."""

import copy
import inspect
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess, fuzzyhess, salo
from keras_fuzzyhess.constants import constants_of

BOTH = pytest.mark.parametrize("make", [FuzzyHess, SALO])


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
        "beta_1": [1.0, -0.1, "0.9", float("nan")],
        "beta_2": [1.0, -0.1, True],
        "curvature_power": [-0.5, 1.5, float("nan")],
        "probe_interval": [1, 0, 2.5, None, True],
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


@BOTH
def test_what_a_configuration_lacks_has_its_default(make):
    name = f"keras_fuzzyhess>{make.__name__}"
    default = make().get_config()
    for identifier in (name, {"class_name": name, "config": {}}):
        assert keras.optimizers.get(identifier).get_config() == default
    assert make.from_config({"rule_base": None}).get_config() == default
    given = {"learning_rate": 1, "weight_decay": 0.5}
    settings = {"class_name": name, "config": given}
    assert keras.optimizers.get(settings).get_config() == default | given
    assert given == {"learning_rate": 1, "weight_decay": 0.5}, "it is the user's own"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=name, loss="mse")
    assert type(model.optimizer) is make


@BOTH
def test_schedules_come_back_from_a_partial_configuration(make):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    config = {"learning_rate": keras.optimizers.schedules.serialize(schedule)}
    again = make.from_config(config)
    assert float(again.learning_rate) == 0.5
    assert make.from_config(config).get_config() == again.get_config()


@BOTH
@pytest.mark.parametrize(
    "name, value, meant",
    [
        ("lr", 0.1, "Use `learning_rate`"),
        ("learning_rat", 0.1, "Use `learning_rate`"),
        ("decay", 0.1, "Use `weight_decay`, or a schedule"),
        ("beta1", 0.1, "Use `beta_1`"),
        ("betas", (0.9, 0.99), "Use `beta_1`"),
        ("momentum", 0.9, "Use `beta_1`"),
        ("clip_norm", 1.0, "Use `clipnorm`"),
        ("amsgrad", True, "It has learning_rate, beta_1, .*weight_decay"),
    ],
)
def test_mistaken_arguments_are_answered_by_the_right_one(make, name, value, meant):
    with pytest.raises(ValueError, match=rf"Received: {name}=.*{meant}"):
        make(**{name: value})
    config = make().get_config() | {name: value}
    with pytest.raises(ValueError, match=meant):
        make.from_config(config)


def test_arguments_of_the_other_class_are_no_mistake_in_silence():
    with pytest.raises(ValueError, match=r"epsilon=1e-07.*salo` has one"):
        FuzzyHess(epsilon=1e-7)
    with pytest.raises(ValueError, match=r"`SALO` must.*probe_interval=5"):
        SALO(probe_interval=5)


@BOTH
def test_numbers_of_numpy_are_numbers(make):
    optimizer = make(
        learning_rate=np.float32(0.5),
        beta_1=np.float64(0.5),
        total_steps=np.int64(8),
        weight_decay=np.float32(0.25),
        gradient_accumulation_steps=np.int32(2),
    )
    assert type(optimizer.beta_1) is float
    config = keras.optimizers.serialize(optimizer)["config"]
    for name, kind in (
        ("learning_rate", float),
        ("total_steps", int),
        ("weight_decay", float),
        ("gradient_accumulation_steps", int),
    ):
        assert type(config[name]) is kind
    assert make(learning_rate=1).get_config()["learning_rate"] == 1.0


@BOTH
@pytest.mark.parametrize(
    "arguments",
    [
        {"weight_decay": 0},
        {"clipnorm": None, "clipvalue": None, "global_clipnorm": None},
        {"use_ema": False, "ema_overwrite_frequency": 5},
        {"gradient_accumulation_steps": None},
        {"loss_scale_factor": 8},
        {"name": None},
    ],
)
def test_what_keras_takes_is_taken(make, arguments):
    again = keras.optimizers.deserialize(keras.optimizers.serialize(make(**arguments)))
    for name, value in arguments.items():
        assert again.get_config()[name] == value or name == "name"


@BOTH
def test_diagnostics_can_be_read_before_there_are_weights(make):
    optimizer = make()
    assert hasattr(optimizer, "diagnostics")
    before = optimizer.diagnostics
    optimizer.build([keras.Variable([1.0, 2.0])])
    assert before == optimizer.diagnostics
    assert list(before) == list(optimizer.diagnostics)
    assert list(map(type, before.values())) == [
        type(value) for value in optimizer.diagnostics.values()
    ]


@BOTH
def test_gradients_that_are_none_are_treated_as_by_keras(make):
    w, unused = keras.Variable([1.0]), keras.Variable([2.0])
    optimizer = make()
    assert optimizer.apply([]) is None
    assert optimizer.apply([], []) is None
    assert not optimizer.built

    def gradients_of(variables):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_sum(w.value**2))
        return zip(
            tape.gradient(loss, [v.value for v in variables]), variables, strict=True
        )

    def step(*variables):
        return tf.function(lambda: optimizer.apply_gradients(gradients_of(variables)))()

    optimizer.build([w, unused])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        assert int(step(w, unused)) == 1
    assert float(w.value[0]) != 1.0 and float(unused.value[0]) == 2.0
    with pytest.raises(ValueError, match="No gradients provided"):
        step(unused)


@BOTH
def test_weights_are_excluded_from_decay_by_variable_and_by_name(make):
    for excluded in ({"var_names": ["bias"]}, {"var_list": "the bias"}):
        layer = keras.layers.Dense(2, bias_initializer="ones")
        layer.build((None, 2))
        if "var_list" in excluded:
            excluded = {"var_list": [layer.bias]}
        optimizer = make(weight_decay=1.0)
        optimizer.exclude_from_weight_decay(**excluded)
        weights = [v.value for v in layer.trainable_variables]
        optimizer.build(layer.trainable_variables)
        assert list(map(optimizer._use_weight_decay, weights)) == [True, False]


@BOTH
def test_the_learning_rate_may_be_set_at_any_time(make):
    optimizer = make()
    for value in (0.5, 2, np.float32(0.25)):
        optimizer.learning_rate = value
        assert float(optimizer.learning_rate) == value
    optimizer.build([keras.Variable([1.0, 2.0])])
    values = [v.numpy() for v in optimizer.variables]
    optimizer.learning_rate = 0.75
    optimizer.set_weights(values)
    assert float(optimizer.learning_rate) == 0.25


def small_rate():
    return pytest.warns(UserWarning, match=r"at least 0.01.*Use `FuzzyHess\(\)`")


@pytest.mark.parametrize("rate", [1e-3, np.float32(1e-4), np.float64(0.0099)])
def test_a_rate_of_other_optimizers_brings_a_warning(rate):
    with small_rate() as caught:
        FuzzyHess(rate)
    assert f"Received: learning_rate={rate!r}" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert len(caught) == 1


def test_rates_that_are_no_mistake_bring_none():
    FuzzyHess(0.01)
    FuzzyHess(0.0)  # which nobody has from another optimizer
    FuzzyHess(keras.optimizers.schedules.CosineDecay(1e-3, 10))
    FuzzyHess(lambda: 1e-3)
    SALO(1e-3)
    FuzzyHess.salo(learning_rate=1e-3)
    FuzzyHess().learning_rate = 1e-3


def test_a_rate_that_is_restored_brings_none(tmp_path):
    """It may have been lowered in training, and the user has been told otherwise."""
    with small_rate():
        optimizer = FuzzyHess(1e-3)
    config = keras.optimizers.serialize(optimizer)
    assert float(keras.optimizers.deserialize(config).learning_rate) == np.float32(1e-3)
    assert float(copy.deepcopy(optimizer).learning_rate) == np.float32(1e-3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == np.float32(1e-3)
    with small_rate():
        FuzzyHess(1e-3)


def test_a_rate_that_a_callback_has_lowered_brings_none():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(FuzzyHess(0.02), "mse")
    x, y = np.ones((8, 2)), np.ones((8, 1))
    lower = keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=0, min_delta=9.0)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[lower])
    assert float(model.optimizer.learning_rate) < 0.01
    keras.models.clone_model(model)
    FuzzyHess.from_config(model.optimizer.get_config())


CONTROLLER = {
    "smallest_gain": 1e-3,
    "largest_gain": 1e3,
    "slowing": 100.0,
    "half_way": 1000.0,
    "annealing": 0.3,
    "swinging": 0.2,
}
CONSTANTS = {
    FuzzyHess: {
        "length": {
            "share": 0.02,
            "smallest_scale": 1e-3,
            "largest_matrix": 10.0,
            "smallest_network": 0.1,
            "no_weights": 0.01,
            "widest": 1e4,
            "longest_share": 0.7,
            "shortening_power": 3.0,
            "largest_shortening": 0.25,
            "largest_growth": 1.5,
            "size_rate": 0.1,
        },
        "trend": {
            "slowest": 0.1,
            "recent": 0.5,
            "most_of_recent": 3.0,
            "difference_share": 0.75,
            "strongest": 2.0,
            "early": 3.0,
            "doubt": 1.5,
            "most_promised": 0.5,
        },
        "coming_fall": {
            "share": 0.25,
            "window": 16.0,
            "strongest": 10.0,
            "longest": 3e4,
        },
        "schedule": {"thinning": 400.0, "early_curvature_probe": 2},
        "averaging": {"window": 20.0, "latest": 20},
        "controller": CONTROLLER,
    },
    SALO: {"trend": {"fast": 0.1, "slow": 0.02}, "controller": CONTROLLER},
}
"""Whoever changes one changes how saved models behave that do not hold it."""
OTHERS = {  # than the defaults, where half of these is out of range
    "largest_matrix": 5.0,
    "widest": 5e3,
    "largest_growth": 1.25,
    "early": 2.0,
    "doubt": 1.0,
    "early_curvature_probe": 3,
    "latest": 10,
}


def others(make):
    """For each constant a value that is not its default."""
    return {
        part: {name: OTHERS.get(name, value / 2) for name, value in constants.items()}
        for part, constants in CONSTANTS[make].items()
    }


@BOTH
def test_configurations_hold_every_constant(make):
    assert make().get_config()["constants"] == CONSTANTS[make] == make().constants
    for parts in (fuzzyhess.PARTS, salo.PARTS):
        for kind in parts.values():
            documented = re.findall(
                r"^    (\w+): (?:(?!\n    \w).)*?Defaults\s+to\s+`(.*?)`",
                inspect.getdoc(kind),
                flags=re.M | re.S,
            )
            expected = {name: float(value) for name, value in documented}
            assert constants_of(kind) == expected, kind


@BOTH
def test_constants_come_back_from_json(make):
    optimizer = make(constants=others(make))
    assert optimizer.constants == others(make)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert again.get_config() == optimizer.get_config()
    kinds = [type(v) for part in again.constants.values() for v in part.values()]
    assert set(kinds) <= {int, float}


@BOTH
def test_constants_that_are_not_given_have_their_defaults(make):
    older = make().get_config()
    del older["constants"]
    for config in ({}, older, {"constants": None}, {"constants": {}}):
        assert make.from_config(config).constants == CONSTANTS[make]
    some = {"controller": {"slowing": np.float32(50)}, "trend": {}}
    expected = CONSTANTS[make] | {"controller": CONTROLLER | {"slowing": 50.0}}
    assert make.from_config({"constants": some}).constants == expected
    assert some["trend"] == {}, "it is the user's own"


@BOTH
def test_names_of_constants_are_checked(make):
    parts = ", ".join(CONSTANTS[make])
    for constants, message in [
        (3, "`constants` must be a dict or None. Received: constants=3"),
        ({"lenght": {}}, rf"`constants` must.*Received: 'lenght'. It has {parts}"),
        ({"controller": 0.5}, r'`constants\["controller"\]` must be a dict'),
        (
            {"controller": {"slow": 1.0}},
            r"""`constants\["controller"\]` must.*Received: 'slow'. .*slowing""",
        ),
        ({"controller": {"surface": None}}, "Received: 'surface'"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(constants=constants)


@BOTH
def test_values_of_constants_are_checked(make):
    for part, constants in CONSTANTS[make].items():
        for name in constants:
            for value in (-1.0, float("nan"), float("inf"), "1", None, True):
                with pytest.raises(ValueError, match=f"`{name}` must be.*{name}="):
                    make(constants={part: {name: value}})


@pytest.mark.parametrize(
    "make, part, name, value",
    [
        (FuzzyHess, "length", "share", 0.2),
        (FuzzyHess, "trend", "strongest", 0.0),
        (FuzzyHess, "schedule", "thinning", 1.0),
        (FuzzyHess, "averaging", "window", 1e9),
        (FuzzyHess, "controller", "slowing", 1.0),
        (SALO, "trend", "slow", 1.0),
        (SALO, "controller", "half_way", 1.0),
    ],
)
def test_parts_take_their_constants(make, part, name, value):
    def trained(constants):
        keras.utils.set_random_seed(0)
        w, optimizer = tf.Variable([5.0, -3.0]), make(constants=constants)
        for _ in range(18):
            optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        optimizer.finalize_variable_values([w])
        return optimizer.diagnostics | {"end": w.numpy().tolist()}

    assert trained({part: {name: value}}) != trained(None)
    assert trained({part: {name: CONSTANTS[make][part][name]}}) == trained(None)
