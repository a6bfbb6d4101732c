"""The test set: its data and networks, and that both kinds of optimizer train them."""

import keras
import numpy as np
import pytest

from benchmarks import training
from benchmarks.sets import ALL, SETS
from benchmarks.training import Training
from benchmarks.unseen import WORKLOADS, burgers, pendulum
from benchmarks.unseen_data import photographs
from keras_fuzzyhess import FuzzyHess
from tests.helpers.fast import first_fast

SHAPES = {
    # examples, inputs, targets, weights
    "denoising": (4000, (16, 16, 3), (16, 16, 3), 14_723),
    "vision": (4800, (24, 24, 3), (), 31_806),
    "lettering": (5000, (20, 20, 1), (), 18_684),
    "movements": (3837, (48, 6), (), 9_751),
    "housing": (6126, (6,), (1,), 12_377),
    "verses": (12_216, (24,), (), 90_282),
    "words": (82_621, (8,), (), 1_839_360),
    "names": (12_851, (16,), (), 12_176),
    "dates": (7000, (32,), (8,), 12_955),
    "graphs": (3600, (24, 24), (), 6_598),
    "burgers": (18_000, (2,), (1,), 1_297),
    "pendulum": (28_000, (8,), (1,), 4_741),
}

FROM_PACKAGES = {"housing", "movements", "names", "verses", "words"}
"""Data whose size another version of a package may change."""


QUICK = ("burgers", "pendulum", "dates", "names", "housing", "movements")
"""Data that takes a second altogether."""

each_workload = pytest.mark.parametrize(
    "name",
    [
        *QUICK,
        *(pytest.param(n, marks=pytest.mark.slow) for n in SHAPES if n not in QUICK),
    ],
)


def test_no_workload_is_in_two_sets():
    assert list(WORKLOADS) == list(SHAPES)
    assert len(ALL) == sum(len(each.workloads) for each in SETS.values())


@each_workload
def test_data_and_network_are_as_stated(name):
    examples, inputs, targets, weights = SHAPES[name]
    workload = WORKLOADS[name]
    data = workload.load()
    assert len(data.x) == pytest.approx(
        examples, rel=0.05 if name in FROM_PACKAGES else 0
    )
    for x, y in ((data.x, data.y), (data.x_held_back, data.y_held_back)):
        assert (x.shape[1:], y.shape[1:], len(x)) == (inputs, targets, len(y))
        assert np.isfinite(x).all() and np.isfinite(y).all()
    assert 0 < len(data.x_held_back) < len(data.x) / 2
    model = workload.build()
    assert sum(v.numpy().size for v in model.trainable_variables) == weights
    predicted = model(data.x[:4])
    if workload.classifies:
        assert predicted.shape[:-1] == data.y[:4].shape
        assert data.y.min() == 0 and data.y.max() == predicted.shape[-1] - 1
    else:
        assert predicted.shape == data.y[:4].shape


@each_workload
def test_data_is_the_same_each_time(name):
    load = WORKLOADS[name].load
    for first, second in zip(
        vars(load()).values(), vars(load.__wrapped__()).values(), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@first_fast(name=("burgers", *(name for name in WORKLOADS if name != "burgers")))
@pytest.mark.parametrize("make", [keras.optimizers.Adam, FuzzyHess])
def test_ten_gradients_leave_a_finite_loss(name, make, monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 2)
    rate = 1.0 if make is FuzzyHess else 0.001
    run = Training(WORKLOADS[name], make).run(rate, "constant", 0, 10)
    assert np.isfinite(run["curve"]["loss"]).all() and len(run["curve"]["loss"]) == 2
    assert np.isfinite(run["held_back"]["loss"])


def test_the_residual_is_that_of_the_equation():
    """Where the network says a constant c, u is -sin(pi x) + c t (1 - x²)."""
    model = burgers.build()
    network = model.layers[-1].network
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    c = 0.5
    network.layers[-1].bias.assign([c])
    t, x = np.random.default_rng(0).uniform(-1, 1, (2, 5, 1))
    u = -np.sin(np.pi * x) + c * t * (1 - x**2)
    u_t, u_x = c * (1 - x**2), -np.pi * np.cos(np.pi * x) - 2 * c * t * x
    u_xx = np.pi**2 * np.sin(np.pi * x) - 2 * c * t
    expected = u_t + u * u_x - burgers.VISCOSITY * u_xx
    found = model(np.concatenate([t, x], axis=1).astype("float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_values_of_an_endless_reward_have_no_residual():
    """Of a reward of 1 for ever, the value is 1 / (1 - discount)."""
    moves = np.zeros((2, 8), "float32")
    moves[:, 3], moves[:, 4] = (0, 4), 1.0
    values = np.full((2, 5), 1 / (1 - pendulum.DISCOUNT), "float32")
    found = pendulum.Residual()(moves, values, values)
    np.testing.assert_allclose(found, np.zeros((2, 1)), atol=1e-5)


def test_patches_that_are_held_back_are_of_another_part():
    image = np.zeros((100, 100, 3), "uint8")
    image[:, 80:] = np.random.default_rng(0).integers(0, 255, (100, 20, 3))
    random = np.random.default_rng(0)
    trained, held_back = photographs._parts(image, 16, 50, random)
    assert len(trained) == 0 and len(held_back) == 10
