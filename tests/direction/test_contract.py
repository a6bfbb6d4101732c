"""What holds of every direction, one of a few lines included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Course, Diagonal, Direction, Newton
from keras_fuzzyhess.direction.named import FLAT, NAMES
from keras_fuzzyhess.parts import move_unbiased
from keras_fuzzyhess.state.packing import PackedState
from tests import networks
from tests.contract.training import count_traces
from tests.replicas import mirrored_strategy
from tests.small_training import assert_same, fit, probes_in


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
    "sign of the momentum": SignOfMomentum,
    "mean curvature": MeanCurvature,
}
every = pytest.mark.parametrize("make", DIRECTIONS.values(), ids=DIRECTIONS)


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
    kept = [v for v in optimizer.variables if v.name.startswith("curvature")]
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
def test_two_replicas_and_xla_take_the_same_steps(make):
    plain = model_with(make)
    start = plain.get_weights()
    trained(plain)
    with mirrored_strategy().scope():
        replicated = model_with(make)
    for other in (replicated, model_with(make, jit_compile=True)):
        trained(other)
        reached = networks.relative_error(
            other.get_weights(), plain.get_weights(), start
        )
        assert reached < 1e-2


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


@pytest.mark.parametrize(
    "arguments, error, told",
    [
        ({"direction": "newton"}, ValueError, "one of 'diagonal', 'adam'"),
        ({"direction": 3}, TypeError, "must be a name or a"),
        ({"direction": Newton}, TypeError, "must be a name or a"),
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
        ({"beta_1": 1.5}, ValueError, r"`beta_1` must be in \[0, 1\)"),
    ],
)
def test_a_mistaken_direction_is_refused_with_the_remedy(arguments, error, told):
    with pytest.raises(error, match=told):
        FuzzyHess(**arguments)


def test_the_config_holds_every_constant():
    config = FuzzyHess(beta_1=0.8).get_config()
    flat = {name: config[name] for name in FLAT}
    assert config["direction"]["config"] | flat == Diagonal(beta_1=0.8).get_config()
    own = Diagonal(beta_1=0.8, clip_factor=5.0)
    again = FuzzyHess.from_config(FuzzyHess(direction=own).get_config())
    assert again.direction.get_config() == own.get_config()
    assert FuzzyHess.from_config({}).direction.get_config() == Diagonal().get_config()
