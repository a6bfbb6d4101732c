"""Any arguments give an error that names one of them, or five finite steps."""

import json
import math
import warnings

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base, paper_rule_base
from tests.fuzzing.budget import draws
from tests.fuzzing.training import assert_trains


def wide(low, high):
    """From end to end of a range, on a logarithmic scale, both ends among them."""
    logarithms = st.floats(math.log10(low), math.log10(high))
    inside = logarithms.map(lambda x: min(max(10**x, low), high))
    return st.one_of(st.sampled_from([low, high]), inside)


momenta = st.one_of(st.sampled_from([0.0, 0.999999]), st.floats(0, 0.999999))
clips = wide(1e-12, 1e12)
integers = st.one_of(st.integers(2, 20), st.integers(2, 2**31 - 1))
schedules = st.builds(
    keras.optimizers.schedules.CosineDecay, wide(1e-3, 1e6), st.integers(1, 1000)
)
SHARED = {
    "learning_rate": st.one_of(st.just(0.0), wide(1e-6, 1e6), schedules),
    "beta_1": momenta,
    "probe_radius": wide(1e-8, 1e3),
    "total_steps": st.one_of(st.none(), integers),
    "rule_base": st.sampled_from([None, default_rule_base(), paper_rule_base()]),
    "name": st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]*", fullmatch=True),
    "weight_decay": st.one_of(st.none(), st.just(0.0), wide(1e-6, 1e12)),
    "clipnorm": clips,
    "clipvalue": clips,
    "global_clipnorm": clips,
    "use_ema": st.booleans(),
    "ema_momentum": momenta,
    "ema_overwrite_frequency": st.one_of(st.none(), integers),
    "loss_scale_factor": st.one_of(st.none(), wide(1e-12, 1e12)),
    "gradient_accumulation_steps": st.one_of(st.none(), integers),
}
ARGUMENTS = {
    FuzzyHess: SHARED
    | {
        "beta_2": momenta,
        "curvature_power": st.floats(0, 1),
        "probe_interval": integers,
        "seed": st.one_of(st.none(), integers),
    },
    SALO: SHARED | {"epsilon": wide(1e-8, 1e8)},
}

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**31, 2**70),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=2),
    st.builds(object),
)


@st.composite
def optimizers_and_arguments(draw):
    """Sound arguments, up to two of which are replaced by anything."""
    optimizer = draw(st.sampled_from([FuzzyHess, SALO]))
    sound = ARGUMENTS[optimizer]
    names = draw(st.lists(st.sampled_from(sorted(sound)), max_size=6, unique=True))
    spoilt = draw(st.lists(st.sampled_from(sorted(sound)), max_size=2, unique=True))
    arguments = {name: draw(sound[name]) for name in names}
    return optimizer, arguments | {name: draw(anything) for name in spoilt}


def names(error, argument, value):
    """A file that cannot be read is named by its path."""
    is_path = isinstance(value, str) and argument == "rule_base"
    path = (value, repr(value)) if is_path else ()
    return any(name in str(error) for name in (f"`{argument}`", *path))


@draws(few=40, many=10_000)
@given(optimizers_and_arguments())
def test_arguments_are_refused_by_name_or_train(drawn):
    make, arguments = drawn
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`learning_rate` of FuzzyHess should")
            optimizer = make(**arguments)
    except (TypeError, ValueError, OSError) as error:
        assert any(names(error, *item) for item in arguments.items()), error
        return
    assert_trains(optimizer)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    twin = keras.optimizers.deserialize(config)
    assert twin.get_config() == optimizer.get_config()
