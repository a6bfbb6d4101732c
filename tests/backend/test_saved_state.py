"""States that do not fit are refused by name, and the weights can always be had."""

import warnings

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.backend.saved_state import (
    LAYOUT_VERSION,
    check_state_fits,
    numbered,
)
from keras_fuzzyhess.direction import Course, Direction
from keras_fuzzyhess.parts import scalar
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, begun, compiled

STATE = "optimizer/vars"
BOTH = pytest.mark.parametrize("make", [FuzzyHess, SALO])


def state(model):
    return [v.numpy() for v in model.optimizer.variables]


def gain_of(model):
    (gain,) = [v for v in model.optimizer.variables if v.name == "controller.gain"]
    return gain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.weights.h5"


def saved(path, change=None, make=FuzzyHess):
    """Weights of a model with a state, which is then changed in the file."""
    model = begun(make())
    model.save_weights(path)
    if change is not None:
        with h5py.File(path, "a") as file:
            change(file[STATE])
    return model


def put(name, value):
    def change(variables):
        del variables[name]
        variables[name] = value

    return change


def refused(path, model, *named):
    """The error has all that is named, and nothing of the state was assigned."""
    before = state(model)
    with pytest.raises(ValueError) as refusal:
        model.load_weights(path)
    for fragment in (*named, "compile=False", "`model.load_weights(path)` before"):
        assert fragment in str(refusal.value)
    assert_same(state(model), before)


@BOTH
def test_a_state_comes_back_to_the_bit(make, path):
    model = saved(path, make=make)
    other = begun(make())
    for variable in other.optimizer.variables:
        variable.assign(tf.zeros_like(variable.value))
    other.load_weights(path)
    assert_same(state(other), state(model))


@BOTH
@pytest.mark.parametrize("version", [0, LAYOUT_VERSION + 1, [1, 1], 1.5])
def test_another_version_of_the_layout_is_refused(make, version, path):
    saved(path, put("layout_version", version), make)
    refused(path, begun(make()), "layout_version", str(version), str(LAYOUT_VERSION))


@BOTH
def test_another_number_of_variables_is_refused(make, path):
    saved(path, make=make)
    count = len(begun(make()).optimizer.variables)
    other = begun(make(gradient_accumulation_steps=2))
    counts = (str(count), str(len(other.optimizer.variables)))
    refused(path, other, *counts, "`gradient_accumulator`")


def test_a_state_of_other_weights_is_refused_by_its_shape(path):
    """SALO keeps all weights in one vector, so that their number does not tell."""
    begun(SALO(), networks.frozen_layer()).save_weights(path)
    refused(path, begun(SALO()), "momentum", "(83,)", "(27,)")


class Trusting(Direction):
    """One number of state."""

    def build(self, weights, add):
        self.trust = scalar(add, "number")

    def __call__(self, gradients, curvature, step):
        return Course(gradients, tf.constant(1.0))


class Doubting(Trusting):
    """The state is called the same, and has the same shape."""


def test_a_state_of_another_direction_is_refused_by_its_name(path):
    begun(FuzzyHess(direction=Trusting())).save_weights(path)
    told = ("`direction.Doubting.number`", "`direction.Trusting.number`", "arguments")
    refused(path, begun(FuzzyHess(direction=Doubting())), *told)
    other = compiled(FuzzyHess(direction=Doubting()))
    other.load_weights(path)
    for _ in range(2):  # nor is it forgotten in the attempt
        with pytest.raises(ValueError, match=r"direction\.Doubting\.number"):
            other.optimizer.build(other.trainable_variables)
        assert not other.optimizer.built


@pytest.mark.parametrize("own", ["diagonal", "orthogonal"])
def test_a_refusal_says_where_directions_differ(own, path):
    begun(FuzzyHess()).save_weights(path)
    there = "another `direction`, or for weights of other sides: it has `Diagonal`, "
    there += "`Orthogonal`, `basis`, `memory` where"
    here = "`Diagonal`, `Orthogonal`" if own == "orthogonal" else "`Diagonal`"
    here = f"this one has {here}, `memory`. "
    refused(path, begun(FuzzyHess(direction=own)), there, here)
    begun(FuzzyHess(direction=own)).save_weights(path)
    refused(path, begun(FuzzyHess()), "another `direction`")


def test_a_refusal_tells_of_curvature_what_is_not_of_the_direction(path):
    begun(FuzzyHess(direction="diagonal")).save_weights(path)
    with pytest.raises(ValueError) as refusal:
        begun(FuzzyHess(direction="adam")).load_weights(path)
    assert "not expected: `probes.curvature`" in str(refusal.value)
    assert "another `direction`" not in str(refusal.value)


def test_numbers_of_names_are_no_parts_of_a_direction(path):
    """Another number of weights is not another direction."""
    saved = ["direction.OneForEach.number", "direction.OneForEach.number.1"]
    variables = {"direction.OneForEach.number": keras.Variable(1.0)}
    with pytest.raises(ValueError) as refusal:
        check_state_fits({name: np.float32(1.0) for name in saved}, variables)
    assert "another `direction`" not in str(refusal.value)


def test_a_state_is_read_by_name_whatever_its_order():
    store, model, other = {}, begun(FuzzyHess()), begun(FuzzyHess())
    model.optimizer.save_own_variables(store)
    before = state(other)
    for variable in other.optimizer.variables:
        variable.assign(tf.zeros_like(variable.value))
    other.optimizer.load_own_variables(dict(sorted(store.items(), reverse=True)))
    assert_same(state(other), before)


def test_names_that_come_again_are_numbered():
    assert numbered(["a", "a.1", "a", "checksum"]) == ["a", "a.1", "a.2", "checksum.1"]


class Counting(FuzzyHess):
    """Has variables of its own, one of them before those of its base."""

    def build(self, variables):
        self.nameless = self.add_variable((2,))
        super().build(variables)
        self.counts = [
            self.add_variable((), "ones", "int64", name="checksum") for _ in range(2)
        ]


class CountingTwice(Counting):
    def build(self, variables):
        super().build(variables)
        self.last = self.add_variable((), name="last")


class Counts:
    """A mixin."""

    def build(self, variables):
        super().build(variables)
        self.counts = [self.add_variable((), "ones", name="count") for _ in range(2)]


class CountingByMixin(Counts, FuzzyHess):
    pass


@pytest.mark.parametrize("make", [Counting, CountingTwice, CountingByMixin])
def test_a_subclass_may_add_variables(make, path):
    model = begun(make())
    model.save_weights(path)
    built, later = begun(make()), compiled(make())
    for variable in built.optimizer.variables:
        variable.assign(tf.zeros_like(variable.value))
    for other in (built, later):
        other.load_weights(path)
        other.optimizer.build(other.trainable_variables)
        assert_same(state(other), state(model))
    built.optimizer.start_anew()
    assert [int(count) for count in built.optimizer.counts] == [1, 1]


def test_a_state_of_another_dtype_is_refused(path):
    keras.config.set_dtype_policy("float64")
    saved(path, make=SALO)
    keras.config.set_dtype_policy("float32")
    refused(path, begun(SALO()), "momentum", "float32", "float64")


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_refused(make, value, path):
    model = begun(make())
    gain_of(model).assign(value)
    model.save_weights(path)
    refused(path, begun(make()), "finite", "1 values")


@pytest.mark.parametrize(
    "change",
    [
        put("average", np.zeros((6, 8), "float32")),
        put("iteration", np.array(7)),
        put("checksum", np.uint32(1)),
        lambda variables: variables.pop("controller.gain"),
        lambda variables: variables.pop("checksum"),
        lambda variables: variables.pop("layout_version"),
        lambda variables: variables.pop("optimizer"),
        put("optimizer", np.frombuffer(b"SALO", np.uint8)),
        lambda variables: variables.move("average.1", "average.9"),
    ],
)
def test_what_was_changed_in_the_file_is_refused(change, path):
    saved(path, change)
    refused(path, begun(FuzzyHess()), "damaged")


def test_the_weights_alone_can_always_be_had(tmp_path, path):
    model = begun(FuzzyHess())
    gain_of(model).assign(np.nan)
    model.save_weights(path)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="compile=False"):
        keras.saving.load_model(tmp_path / "model.keras")
    from_model = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    from_weights = networks.dense()
    from_weights.load_weights(path)
    for loaded in (from_model, from_weights):
        assert_same(loaded.get_weights(), model.get_weights())
        compiled(FuzzyHess(), loaded)
        for _ in range(2):
            loaded.train_on_batch(*networks.data(loaded))
        assert loaded.optimizer.diagnostics["probes"] == 1


def test_whoever_asks_for_it_may_skip_what_does_not_fit(path):
    """As with layers of Keras that do not fit."""
    model = saved(path, put("layout_version", 0))
    other = begun(FuzzyHess())
    before = state(other)
    with pytest.warns(UserWarning, match="layout_version"):
        other.load_weights(path, skip_mismatch=True)
    assert_same(other.get_weights(), model.get_weights())
    assert_same(state(other), before)


@BOTH
def test_models_that_have_not_trained_can_be_loaded(make, tmp_path):
    for model in (compiled(make(0.5)), begun(make(0.5))):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.optimizer.learning_rate == 0.5
        assert_same(loaded.get_weights(), model.get_weights())
    assert_same(state(loaded), state(model))


def fit(model, minibatches):
    x, y = networks.data(model, batches=8)
    part = slice(minibatches.start * networks.BATCH, minibatches.stop * networks.BATCH)
    model.fit(x[part], y[part], batch_size=networks.BATCH, shuffle=False, verbose=0)


def run_own_loop(model, minibatches):
    x, y = networks.data(model, batches=8)
    optimizer = model.optimizer

    @tf.function
    def step(x, y):
        optimizer.minimize(
            lambda: networks.cross_entropy(y, model(x, training=True)),
            model.trainable_variables,
        )

    for i in minibatches:
        part = slice(i * networks.BATCH, (i + 1) * networks.BATCH)
        step(x[part], y[part])


@first_fast(train=[fit, run_own_loop])
def test_a_state_loaded_before_the_first_step_is_taken_over_in_it(train, path):
    """Weights are often loaded into a model whose optimizer is not built yet."""
    model = compiled(FuzzyHess(seed=0))
    train(model, range(4))
    model.save_weights(path)
    train(model, range(4, 8))
    other = compiled(FuzzyHess(seed=1))
    other.load_weights(path)
    train(other, range(4, 8))
    assert_same(state(other), state(model))
    assert_same(other.get_weights(), model.get_weights())


def test_a_state_loaded_before_the_first_step_is_not_lost_when_saved_again(path):
    model = saved(path)
    between = compiled(FuzzyHess())
    between.load_weights(path)
    between.save_weights(path)
    last = begun(FuzzyHess())
    last.load_weights(path)
    assert_same(state(last), state(model))


def test_a_state_loaded_before_the_first_step_is_refused_in_it(path):
    saved(path)
    model = compiled(FuzzyHess(gradient_accumulation_steps=2))
    model.load_weights(path)
    with pytest.raises(ValueError, match="must fit"):
        model.optimizer.build(model.trainable_variables)


def test_a_tensorflow_checkpoint_may_be_taken_meanwhile(tmp_path, path):
    saved(path)
    model = compiled(FuzzyHess())
    model.load_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tf.train.Checkpoint(optimizer=model.optimizer).write(str(tmp_path / "all"))
