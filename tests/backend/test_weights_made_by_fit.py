"""Models whose weights do not exist before the first step, and weights of no optimizer.

Keras makes the weights of a model without input shape in the first step of `fit`.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.small_training import assert_same, compiled, fit


def data():
    return networks.data(networks.dense(), batches=4)


def sequential():
    return keras.Sequential(
        [layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dense(3)]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(8, "tanh", kernel_constraint="unit_norm")
        self.outer = keras.Sequential([layers.LayerNormalization(), layers.Dense(3)])

    def call(self, x, training=False):
        return self.outer(self.inner(x), training=training)


MODELS = {"sequential": sequential, "subclassed": Subclassed}


def built(make):
    model = make()
    model(data()[0])
    return model


@first_fast(
    settings=[
        {},
        {"use_ema": False},
        {"gradient_accumulation_steps": 2},
        {"ema_overwrite_frequency": 3},
    ]
)
@first_fast(model=MODELS)
def test_fit_is_the_same_with_weights_made_before(settings, model):
    ends, make = [], MODELS[model]
    for build in (make, lambda: built(make)):
        keras.utils.set_random_seed(0)
        model = compiled(FuzzyHess(seed=0, probe_interval=4, **settings), build())
        history = fit(model, data(), epochs=2).history["loss"]
        assert history[-1] < history[0]
        ends.append(model.get_weights())
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@first_fast(use_ema=[True, False])
def test_averages_are_the_weights_where_every_step_is_skipped(use_ema):
    model = compiled(FuzzyHess(seed=0, use_ema=use_ema), sequential())
    x, y = data()
    fit(model, (np.nan * x, y))
    assert int(model.optimizer.iterations) == 0
    averages = model.optimizer._model_variables_moving_average
    assert_same(
        [a.numpy() for a in averages], [v.numpy() for v in model.trainable_variables]
    )
    assert np.abs(model.get_weights()[0]).max() > 0


@pytest.mark.slow
def test_train_on_batch_of_several_steps_at_once():
    model = sequential()
    model.compile(
        FuzzyHess(seed=0),
        networks.cross_entropy,
        jit_compile=False,
        steps_per_execution=2,
    )
    history = fit(model, data(), epochs=3).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.slow
def test_two_replicas_with_weights_made_by_fit(two_replicas):
    with two_replicas.scope():
        model = compiled(FuzzyHess(seed=0), sequential())
    history = fit(model, data(), epochs=3).history["loss"]
    assert history[-1] < history[0]


def overwritten():
    """A weight that takes its gradient as its value, as the scales of float8 do."""
    weight = keras.Variable([7.0, 8.0], name="scale")
    weight.overwrite_with_gradient = True
    return weight


@pytest.mark.parametrize("use_ema", [True, False])
def test_weights_that_are_not_averaged_are_left_alone(use_ema):
    w, scale = keras.Variable([3.0, 1.0]), overwritten()
    optimizer = FuzzyHess(seed=0, use_ema=use_ema)
    optimizer.build([scale, w])
    (way,) = optimizer._average.way_from([scale.value, w.value])
    assert_same(way, [0.0, 0.0, 0.0, 0.0])
    for _ in range(9):
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.minimize(lambda: tf.reduce_sum(w**2), [scale, w])
    before = w.numpy()
    optimizer.finalize_variable_values([scale, w])
    assert_same(scale.numpy(), [7.0, 8.0])
    assert (w.numpy() != before).any() == use_ema


class Distiller(keras.Model):
    """Its optimizer trains the student alone."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = networks.dense(), networks.dense()

    def call(self, x):
        return self.student(x)

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                (self.student(batch[0]) - self.teacher(batch[0])) ** 2
            )
            loss = self.optimizer.scale_loss(loss)
        weights = self.student.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def test_weights_that_the_optimizer_was_not_built_with_stay():
    model = Distiller()
    teacher, student = model.teacher.get_weights(), model.student.get_weights()
    model.compile(FuzzyHess(seed=0))
    fit(model, data(), epochs=4)
    assert (model.student.get_weights()[0] != student[0]).all()
    assert_same(model.teacher.get_weights(), teacher)
    averages = model.optimizer._model_variables_moving_average
    assert_same(model.student.get_weights(), [a.numpy() for a in averages])


@first_fast(inner=[0, 1])
def test_a_layer_unfrozen_between_two_fits_stays(inner):
    """Without `compile`, which Keras takes for no change."""
    model = networks.dense()
    model.layers[inner].trainable = False
    compiled(FuzzyHess(seed=0), model)
    fit(model, data())
    before = model.layers[inner].get_weights()
    model.layers[inner].trainable = True
    fit(model, data(), epochs=2)
    assert_same(model.layers[inner].get_weights(), before)
    averages = model.optimizer._model_variables_moving_average
    trained = model.layers[1 - inner].get_weights()
    assert_same(trained, [a.numpy() for a in averages])
