"""Arguments survive their configuration, or are refused by name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess

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
        "beta_1": [1.0, -0.1, "0.9", None, float("nan")],
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
    given = {"learning_rate": 1, "beta_1": 0.5}
    settings = {"class_name": name, "config": given}
    assert keras.optimizers.get(settings).get_config() == default | given
    assert given == {"learning_rate": 1, "beta_1": 0.5}, "it is the user's own"
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
    config = keras.optimizers.serialize(optimizer)["config"]
    for name, kind in (
        ("learning_rate", float),
        ("beta_1", float),
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
