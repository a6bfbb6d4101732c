"""What holds of every direction, one of a few lines included."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import (
    Course,
    Diagonal,
    Direction,
    Eigenbases,
    Newton,
    Orthogonal,
    Routed,
)
from keras_fuzzyhess.direction.named import NAMES
from keras_fuzzyhess.parts import Step, move_unbiased, scalar
from keras_fuzzyhess.state.packing import PackedState
from tests.contract.training import count_traces
from tests.helpers import networks
from tests.helpers.replicas import mirrored_strategy
from tests.helpers.small_training import assert_same, fit, probes_in


@keras.saving.register_keras_serializable("tests")
class SignOfMomentum(Direction):
    """A dummy: one class, and no other line changed."""

    def build(self, weights, add):
        self.momentum = PackedState(weights, add, "momentum")

    def __call__(self, gradients, curvature, step):
        momentum = move_unbiased(self.momentum, gradients, 0.9, step)
        return Course([tf.sign(m) for m in momentum], tf.constant(1.0))


@keras.saving.register_keras_serializable("tests")
class MeanCurvature(Direction):
    """A dummy that asks for curvature, and has no state."""

    needs_curvature = True

    def __call__(self, gradients, curvature, step):
        scale = 1 + curvature.mean
        return Course([g / scale for g in gradients], tf.constant(1.0))


DIRECTIONS = {
    **{name: lambda name=name: name for name in NAMES},
    "Diagonal": lambda: Diagonal(curvature_power=0.25, gradient_share=0.0),
    "Newton": lambda: Newton(epsilon=1.0),
    "orthogonal blocks": lambda: Orthogonal(iterations=2, longest_side=3),
    "routed": Routed,
    "routed, one without curvature": lambda: Routed(
        Diagonal(basis=Eigenbases()), Diagonal(curvature_power=0)
    ),
    "rotated, with curvature": lambda: Orthogonal(Diagonal(basis=Eigenbases(8, 3))),
    "sign of the momentum": SignOfMomentum,
    "mean curvature": MeanCurvature,
}
QUICK = ("adam", "sign of the momentum")  # the others are slow
every = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, make in DIRECTIONS.items()
    ],
)


def model_with(make, jit_compile=False):
    keras.utils.set_random_seed(0)
    optimizer = FuzzyHess(direction=make(), seed=0, probe_interval=4)
    model = networks.dense()
    model.compile(optimizer, networks.cross_entropy, jit_compile=jit_compile)
    return model


def trained(model, epochs=2):
    fit(model, networks.data(model, batches=8), epochs=epochs)
    return model


@every
def test_it_learns_in_one_trace_and_stays_finite(make):
    model = model_with(make)
    x, y = networks.data(model, batches=8)
    before = model.evaluate(x, y, verbose=0)
    traces = count_traces(model.optimizer)
    trained(model, epochs=10)
    assert traces() == 1
    assert model.evaluate(x, y, verbose=0) < before
    assert all(np.isfinite(v.numpy()).all() for v in model.optimizer.variables)


@every
def test_it_asks_for_the_probes_that_it_needs(make):
    optimizer = trained(model_with(make)).optimizer
    assert optimizer.diagnostics["probes"] == probes_in(16, optimizer) > 0
    kept = [v for v in optimizer.variables if v.name.startswith("probes.curvature")]
    assert bool(kept) == optimizer.direction.needs_curvature
    measured = optimizer.diagnostics["mean_curvature"]
    assert (measured > 0) == optimizer.direction.needs_curvature


@pytest.mark.slow
@every
def test_what_is_saved_goes_on_to_the_bit(make, tmp_path):
    model = trained(model_with(make))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        trained(each)
    assert_same(model.get_weights(), loaded.get_weights())


@pytest.mark.slow
@every
def test_two_replicas_and_xla_take_the_same_steps(make, request):
    """Weights after some steps differ by a hundredth of the way gone, at most.

    By more in eigenbases: where gradients have shown few directions yet, rounding has a
    part in which basis the others get.
    """
    most = 0.05 if request.node.callspec.id == "rotated" else 0.01
    plain = model_with(make)
    start = plain.get_weights()
    trained(plain)
    with mirrored_strategy().scope():
        replicated = model_with(make)
    others = trained(replicated), trained(model_with(make, jit_compile=True))
    for other in others:
        error = networks.relative_error(other.get_weights(), plain.get_weights(), start)
        assert error < most


@every
def test_a_frozen_layer_stays_and_the_others_train(make):
    model = trained(model_with(make))
    model.layers[0].trainable = False
    frozen, other = model.layers[0].get_weights(), model.layers[1].get_weights()
    model.compile(model.optimizer, model.loss, jit_compile=False)
    trained(model)
    assert_same(model.layers[0].get_weights(), frozen)
    assert (model.layers[1].get_weights()[0] != other[0]).any()


@every
def test_gradients_of_zero_leave_the_weights(make):
    w, optimizer = tf.Variable([1.0, -2.0]), FuzzyHess(direction=make(), seed=0)
    for _ in range(12):
        optimizer.minimize(lambda: tf.reduce_sum(0.0 * w**2), [w])
    np.testing.assert_array_equal(w, [1.0, -2.0])


def test_adams_direction_costs_no_curvature_probes():
    adam, diagonal = (
        trained(model_with(lambda name=name: name)).optimizer.diagnostics["probes"]
        for name in ("adam", "diagonal")
    )
    assert 0 < adam < diagonal


def test_an_optimizer_has_a_direction_of_its_own():
    direction = Diagonal()
    one, other = FuzzyHess(direction=direction), FuzzyHess(direction=direction)
    assert one.direction is not direction and one.direction is not other.direction
    assert one.direction.get_config() == direction.get_config()


class Share(Direction):
    """Its constant in a constructor of its own, its state begins at one."""

    def __init__(self, share=0.5):
        self.share = share

    def build(self, weights, add):
        self.trust = scalar(add, "gain", 1.0)  # a name that others have too

    def __call__(self, gradients, curvature, step):
        factor = self.share * self.trust.value
        self.trust.assign(0.5)
        return Course([factor * g for g in gradients], tf.constant(1.0))


def test_constants_of_a_constructor_are_kept():
    optimizer = FuzzyHess(direction=Share(0.9))
    assert optimizer.direction.share == 0.9
    with keras.saving.custom_object_scope({"Share": Share}):
        config = optimizer.get_config()
    again = FuzzyHess.from_config(config, {"Share": Share})
    assert again.direction.share == 0.9


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_one_that_is_not_registered_is_told_of_when_it_is_saved(ending, tmp_path):
    path = tmp_path / f"model.{ending}"
    model = networks.dense()
    model.compile(FuzzyHess(direction=Share(0.9)), keras.losses.MeanSquaredError())
    with pytest.warns(UserWarning, match=r"`Share`.*register_keras.*above its class"):
        model.save(path)
    with pytest.raises(TypeError, match="register_keras_serializable"):
        keras.saving.load_model(path)
    loaded = keras.saving.load_model(path, custom_objects={"Share": Share})
    assert loaded.optimizer.direction.share == 0.9


def test_constants_that_are_not_kept_under_their_names_are_refused():
    class Hidden(Direction):
        def __init__(self, share):
            self.hidden = share

    with pytest.raises(ValueError, match="keep its argument `share` as an attribute"):
        FuzzyHess(direction=Hidden(0.5)).get_config()


class FailingOnce(Share):
    """Its state is half made when it fails."""

    fails = True

    def build(self, weights, add):
        super().build(weights, add)
        if self.fails:
            raise RuntimeError("not yet")


@pytest.mark.parametrize("use", ["fit", "minimize"])
def test_a_direction_whose_state_cannot_be_made_leaves_the_optimizer_as_it_was(use):
    def steps(model):
        if use == "fit":
            return fit(model, networks.data(model))
        x, y = networks.data(model)
        weights = model.trainable_variables
        for _ in range(2):
            model.optimizer.minimize(
                lambda: networks.cross_entropy(y, model(x)), weights
            )

    mended, sound = model_with(FailingOnce), model_with(Share)
    optimizer = mended.optimizer
    before = [v.name for v in optimizer.variables]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not yet"):
            steps(mended)
        assert not optimizer.built and int(optimizer.iterations) == 0
        assert [v.name for v in optimizer.variables] == before
    optimizer.direction.fails = False
    for model in (mended, sound):
        steps(model)
    assert_same(mended.get_weights(), sound.get_weights())
    assert len(optimizer.variables) == len(sound.optimizer.variables)
    optimizer.start_anew()
    assert float(optimizer.direction.trust) == 1.0


def test_state_of_a_direction_begins_anew_where_it_began():
    w, optimizer = tf.Variable([1.0]), FuzzyHess(direction=Share(), total_steps=9)
    optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
    assert float(optimizer.direction.trust) == 0.5
    optimizer.start_anew()
    assert float(optimizer.direction.trust) == 1.0
    assert optimizer.total_steps == 9 and int(optimizer.iterations) == 0


@keras.saving.register_keras_serializable("tests")
@dataclasses.dataclass(eq=False)
class Slower(Diagonal):
    beta_1: float = 0.95


def test_a_direction_made_of_another_keeps_its_own_constants():
    for beta_1 in (0.9, 0.95):
        config = FuzzyHess(direction=Slower(beta_1=beta_1)).get_config()
        assert FuzzyHess.from_config(config).beta_1 == beta_1


RETURNED = {
    "nothing": (lambda g: None, TypeError, "must return a `keras_fuzzyhess"),
    "a list": (lambda g: g, TypeError, "must return a `keras_fuzzyhess"),
    "too few": (lambda g: Course([], 1.0), ValueError, "list with the shapes"),
    "a tensor": (lambda g: Course(g[0], 1.0), ValueError, "list with the shapes"),
    "other shapes": (
        lambda g: Course([x[:1] for x in g], 1.0),
        ValueError,
        "list with the shapes",
    ),
    "a size for each": (lambda g: Course(g, g[0]), ValueError, "must be a scalar"),
}


@pytest.mark.parametrize("course_of, error, told", RETURNED.values(), ids=RETURNED)
def test_what_is_no_course_is_refused(course_of, error, told):
    class Wrong(Direction):
        def __call__(self, gradients, curvature, step):
            return course_of(gradients)

    w, optimizer = tf.Variable([1.0, 2.0]), FuzzyHess(direction=Wrong())
    with pytest.raises(error, match=told):
        optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])


def test_arguments_that_parts_have_cannot_be_assigned():
    optimizer = FuzzyHess(beta_1=0.8, probe_interval=4)
    assert optimizer.beta_1 == 0.8 and optimizer.probe_interval == 4
    for name in ("beta_1", "direction", "probe_interval", "probe_radius"):
        with pytest.raises(AttributeError):
            setattr(optimizer, name, 3)


@pytest.mark.parametrize(
    "arguments, error, told",
    [
        ({"direction": "newton"}, ValueError, "one of 'diagonal', 'adam'"),
        ({"direction": 3}, TypeError, "must be a name or a"),
        ({"direction": Newton}, TypeError, r"Write `Newton\(\)`"),
        (
            {"direction": Diagonal(), "beta_1": 0.5},
            ValueError,
            r"beta_1 beside.*direction=Diagonal",
        ),
        (
            {"direction": "adam", "curvature_power": 0.25},
            ValueError,
            "direction='diagonal'",
        ),
        ({"direction": {"foo": 1}}, TypeError, "must be a name or a"),
        ({"beta_1": 1.5}, ValueError, r"`beta_1` must be in \[0, 1\)"),
    ],
)
def test_a_mistaken_direction_is_refused_with_the_remedy(arguments, error, told):
    with pytest.raises(error, match=told):
        FuzzyHess(**arguments)


def test_the_config_holds_every_constant():
    config = FuzzyHess(direction="diagonal", beta_1=0.8).get_config()
    assert config["direction"]["config"] == Diagonal(beta_1=0.8).get_config()
    for own in (
        Diagonal(beta_1=0.8, clip_factor=5.0),
        Orthogonal(Diagonal(beta_1=0.8, basis=Eigenbases(64, 3.0, 7)), 4, 128),
        Orthogonal(Newton(epsilon=1.0)),
        Routed(Diagonal(basis=Eigenbases()), Newton()),
    ):
        config = json.loads(json.dumps(FuzzyHess(direction=own).get_config()))
        again = FuzzyHess.from_config(config)
        assert again.direction.get_config() == own.get_config()
        assert again.direction is not own


def test_constants_beside_a_direction_are_refused_even_where_they_are_its_own():
    with pytest.raises(ValueError, match="beta_1 beside"):
        FuzzyHess(direction=Diagonal(), beta_1=0.9)


def test_optimizers_of_one_name_do_not_share_parts_of_a_direction():
    one, other = FuzzyHess(direction="rotated"), FuzzyHess(direction="rotated")
    assert one.direction.basis is not other.direction.basis
    own = Orthogonal()
    assert FuzzyHess(direction=own).direction.scaled is not own.scaled


@keras.saving.register_keras_serializable("tests")
@dataclasses.dataclass(eq=False)
class Twice(Direction):
    """The same part under two names."""

    one: Direction
    other: Direction

    def __call__(self, gradients, curvature, step):
        return self.one(gradients, curvature, step)


class Many(Direction):
    def __init__(self, parts):
        self.parts = parts


def test_a_part_that_is_there_twice_becomes_two():
    """As the direction of matrices and of all else, with a state for each."""
    inner = Diagonal()
    copied = FuzzyHess(direction=Twice(inner, inner)).direction
    assert len({id(copied.one), id(copied.other), id(inner)}) == 3


def test_parts_in_a_list_are_refused():
    with pytest.raises(TypeError, match="must be an attribute of its own"):
        FuzzyHess(direction=Many([Diagonal()]))


@pytest.mark.parametrize("outer", [Orthogonal, Routed])
def test_a_direction_inside_another_is_treated_like_one_alone(outer):
    class Unknown(Direction):
        def __call__(self, gradients, curvature, step):
            return gradients

    optimizer = FuzzyHess(direction=outer(Unknown()))
    with pytest.warns(UserWarning, match="`Unknown` must be registered"):
        optimizer.get_config()
    w = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(TypeError, match="must return a `keras_fuzzyhess"):
        optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])


@every
def test_gradients_that_vanish_leave_no_trace(make):
    """Their momentum decays through all numbers that float32 has."""
    w = tf.Variable(np.random.default_rng(0).normal(size=(48, 40)).astype("float32"))
    is_used, other = tf.Variable(1.0), tf.Variable([1.0])
    optimizer = FuzzyHess(direction=make(), seed=0)
    optimizer.build([w, other])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = is_used * tf.reduce_sum(tf.tanh(w)) + other[0] ** 2
            loss = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(loss, [w, other]), [w, other])

    for number in range(900):
        step()
        if number == 4:
            is_used.assign(0.0)
    assert np.isfinite(w).all() and int(optimizer.iterations) == 900
    assert optimizer.diagnostics["skipped_steps"] == 0


def test_a_group_without_elements_is_no_group():
    weights = [tf.Variable(tf.ones((2, 2))), tf.Variable(tf.zeros((0,)))]
    optimizer = FuzzyHess(direction=Routed())
    for _ in range(3):
        optimizer.minimize(lambda: sum(tf.reduce_sum(w**2) for w in weights), weights)
    assert np.isfinite(weights[0]).all() and (weights[0].numpy() < 1).all()


def test_curvature_of_a_group_is_compared_within_it():
    """What others are curved does not change the scale of its steps."""
    shapes = {"kernel": (4, 4), "bias": (4,)}
    sizes = []
    for kernel_curvature in (1.0, 1e4):
        weights = [tf.Variable(tf.ones(shape)) for shape in shapes.values()]
        optimizer = FuzzyHess(direction=Routed(Diagonal(), Diagonal()), seed=0)
        for _ in range(4):
            optimizer.minimize(
                lambda c=kernel_curvature, w=weights: (
                    c * tf.reduce_sum(w[0] ** 2) + tf.reduce_sum(w[1] ** 2)
                ),
                weights,
            )
        curvature = routed_curvature(optimizer)
        sizes.append(float(curvature.mean))
    np.testing.assert_allclose(sizes, 2.0, rtol=0.1)  # second derivatives of b**2


def routed_curvature(optimizer):
    """What the direction of biases is told."""
    told = {}
    others = optimizer.direction.others
    call = type(others).__call__

    class Told(Diagonal):
        def __call__(self, gradients, curvature, step):
            told["curvature"] = curvature
            return call(self, gradients, curvature, step)

    others.__class__ = Told
    gradients = [tf.ones(20)]
    optimizer.direction(
        gradients, optimizer.algorithm.curvature, Step(tf.constant(4), [0, 1])
    )
    return told["curvature"]


@pytest.mark.parametrize("own", ["rotated", "diagonal"])
def test_a_constant_that_there_is_not_is_named(own):
    """As in a configuration that another release has written."""
    config = FuzzyHess(direction=own).get_config()
    direction = config["direction"]["config"]
    part = direction["scaled"]["config"]["basis"] if own == "rotated" else direction
    (part["config"] if own == "rotated" else part)["longest_axis"] = 3
    kind = "Eigenbases" if own == "rotated" else "Diagonal"
    with pytest.raises(
        ValueError, match=f"`{kind}` must have no names.*'longest_axis'"
    ):
        FuzzyHess.from_config(config)


class Anything(Direction):
    """Takes arguments by any name."""

    def __init__(self, **given):
        self.given = given

    def get_config(self):
        return self.given


def test_a_direction_may_take_arguments_of_any_name():
    assert Anything.from_config({"rate": 0.5}).given == {"rate": 0.5}
