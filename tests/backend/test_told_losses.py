"""Losses that a training loop tells by `scale_loss`: one, several, and left over."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import FuzzyHess
from tests.helpers.fast import each_value_fast, first_fast
from tests.helpers.small_training import assert_same

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def error(model):
    return tf.reduce_mean((model(X) - Y) ** 2)


def penalty(model):
    return 0.01 * tf.add_n([tf.reduce_sum(v**2) for v in model.trainable_variables])


def told_as_sum(optimizer, model):
    return optimizer.scale_loss(error(model) + penalty(model))


def told_one_by_one(optimizer, model):
    return [optimizer.scale_loss(error(model)), optimizer.scale_loss(penalty(model))]


def told_the_other_way_round(optimizer, model):
    return told_one_by_one(optimizer, model)[::-1]


def told_twice(optimizer, model):
    loss = error(model) + penalty(model)
    optimizer.scale_loss(loss)
    return optimizer.scale_loss(loss)


def not_told_at_all(optimizer, model):
    return error(model) + penalty(model)


def trained(losses_of, make=lambda: FuzzyHess(seed=0), steps=30):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(1)]
    )
    optimizer = make()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            losses = losses_of(optimizer, model)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(losses, weights), weights)

    for _ in range(steps):
        step()
    return model, optimizer


@first_fast(make=[lambda: FuzzyHess(seed=0), FuzzyHess.salo])
@first_fast(
    losses_of=[told_one_by_one, told_the_other_way_round, told_twice, not_told_at_all]
)
def test_several_losses_count_as_their_sum(losses_of, make):
    model, optimizer = trained(losses_of, make)
    expected, of_the_sum = trained(told_as_sum, make)
    for name, value in of_the_sum.diagnostics.items():
        np.testing.assert_allclose(optimizer.diagnostics[name], value, rtol=1e-3)
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("structure", [list, tuple])
def test_a_structure_of_losses_is_refused_with_the_way_out(structure):
    def losses_of(optimizer, model):
        return optimizer.scale_loss(structure([error(model), penalty(model)]))

    with pytest.raises(ValueError, match=r"Give their sum.*loss_1 \+ loss_2"):
        trained(losses_of)


def test_untold_losses_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="Of several losses.*give their sum"):
        trained(lambda optimizer, model: [error(model), penalty(model)])


@pytest.mark.slow
def test_one_optimizer_for_two_networks_whose_losses_are_told_before_both_steps():
    """Each step has the loss of its own gradients, not the sum."""

    def train(separately):
        keras.utils.set_random_seed(0)
        models = [keras.Sequential([layers.Input((6,)), layers.Dense(1)]) for _ in "ab"]
        weights = [m.trainable_variables for m in models]
        optimizer = FuzzyHess(seed=0)
        optimizer.build(weights[0] + weights[1])

        @tf.function
        def step():
            gradients = []
            for factor, model, own in zip((1.0, 100.0), models, weights, strict=True):
                with tf.GradientTape() as tape:
                    loss = optimizer.scale_loss(factor * error(model))
                gradients.append(tape.gradient(loss, own))
                if separately:
                    optimizer.apply(gradients[-1], own)
            if not separately:
                for gradient, own in zip(gradients, weights, strict=True):
                    optimizer.apply(gradient, own)

        for _ in range(10):
            step()
        return [w.numpy() for w in weights[0] + weights[1]], optimizer.diagnostics

    assert train(True)[1]["loss_trend"] == pytest.approx(
        train(False)[1]["loss_trend"], rel=1e-3
    )


def test_a_loss_told_in_vain_is_forgotten():
    """One of another traced function, or of a step that was never taken."""
    model, optimizer = trained(told_as_sum, steps=3)

    @tf.function
    def only_tell():
        return optimizer.scale_loss(1000.0 * error(model))

    only_tell()
    only_tell()
    expected, _ = trained(told_as_sum, steps=3)
    assert_same(model.get_weights(), expected.get_weights())
    with tf.GradientTape() as tape:
        loss = optimizer.scale_loss(error(model))
    assert float(tape.gradient(loss, model.trainable_variables)[1][0]) != 0
    assert len(optimizer._pending.losses) == 1


@first_fast(make=[lambda: FuzzyHess(seed=0), FuzzyHess.salo])
def test_a_loss_told_in_another_function_is_told_again_beside_apply(make):
    """The refusal says so, and what it says works."""

    def train(tell_again, steps=20):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Input((6,)), layers.Dense(8), layers.Dense(1)])
        weights, optimizer = model.trainable_variables, make()

        @tf.function
        def compute():
            with tf.GradientTape() as tape:
                loss = optimizer.scale_loss(error(model))
            return loss, tape.gradient(loss, weights)

        @tf.function
        def step():
            loss, gradients = compute()
            if tell_again:
                optimizer.scale_loss(loss)
            optimizer.apply(gradients, weights)

        for _ in range(steps):
            step()
        return model, optimizer

    with pytest.raises(ValueError, match=r"inside another function.*beside `apply`"):
        train(tell_again=False)
    model, optimizer = train(tell_again=True)
    assert optimizer.diagnostics["probes"] > 0
    assert float(error(model)) < float(error(train(True, steps=1)[0]))


def test_a_linear_loss_that_is_told_is_trained():
    def linear(model):
        return tf.reduce_mean(model(X) * Y)

    def train(told):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Input((6,)), layers.Dense(1)])
        optimizer = FuzzyHess(seed=0)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = linear(model)
                loss = optimizer.scale_loss(loss) if told else loss
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)

        for _ in range(10):
            step()
        return float(linear(model))

    with pytest.raises(ValueError, match="linear in the weights.*scale_loss"):
        train(told=False)
    assert train(told=True) < 0


@each_value_fast(
    make=[lambda: FuzzyHess(seed=0), FuzzyHess.salo], dtype=["float16", "float64"]
)
def test_gradients_of_another_dtype_are_cast(make, dtype):
    """As Keras's optimizers do."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((6,)), layers.Dense(1)])
    weights, optimizer = model.trainable_variables, make()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(error(model))
        gradients = tape.gradient(loss, weights)
        optimizer.apply([tf.cast(g, dtype) for g in gradients], weights)

    for _ in range(10):
        step()
    assert optimizer.diagnostics["probes"] > 0
    assert all(np.isfinite(w).all() for w in model.get_weights())


@first_fast(make=[lambda: FuzzyHess(seed=0), FuzzyHess.salo])
def test_a_training_may_end_inside_the_function_that_trains(make):
    def train(inside):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Input((6,)), layers.Dense(1)])
        weights, optimizer = model.trainable_variables, make()
        optimizer.build(weights)

        @tf.function
        def run():
            for _ in tf.range(10):
                with tf.GradientTape() as tape:
                    loss = error(model)
                optimizer.scale_loss(loss)
                optimizer.apply(tape.gradient(loss, weights), weights)
            if inside:
                optimizer.finalize_variable_values(weights)

        run()
        if not inside:
            optimizer.finalize_variable_values(weights)
        return model.get_weights()

    for a, b in zip(train(True), train(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("value", [1.0, None, np.float32(1), np.ones(2), [1.0]])
def test_eager_minimize_refuses_what_is_no_tensor(value):
    w = tf.Variable([1.0])
    with pytest.raises(ValueError, match="must return the loss as a tensor"):
        FuzzyHess().minimize(lambda: value, [w])


def test_eager_minimize_takes_the_sum_of_a_vector():
    """As a traced step does."""

    def train(reduce):
        w, optimizer = tf.Variable([1.0, 2.0]), FuzzyHess(seed=0)
        for _ in range(5):
            optimizer.minimize(lambda: reduce(w**2), [w])
        return w.numpy()

    assert_same(train(tf.identity), train(tf.reduce_sum))
