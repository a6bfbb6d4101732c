"""Who is told that BatchNorm's statistics lag, and who is not."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from tests.helpers.replicas import mirrored_strategy

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")
TOLD = "`fit` should be given `keras_fuzzyhess.AveragesInValidation"


def norm(**kwargs):
    return layers.BatchNormalization(name="the_norm", **kwargs)


def flat(**kwargs):
    return [layers.Dense(4), norm(**kwargs), layers.Dense(1)]


def nested():
    return [keras.Sequential([layers.Dense(4), keras.Sequential([norm()])])]


class Own(keras.Model):
    """Its own `train_step`, its layers in a list."""

    def __init__(self):
        super().__init__()
        self.parts = flat()

    def call(self, x, training=None):
        for part in self.parts:
            takes = isinstance(part, layers.BatchNormalization)
            x = part(x, training=training) if takes else part(x)
        return x

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        return {"loss": loss}


def model_of(parts, **settings):
    keras.utils.set_random_seed(0)
    model = parts() if isinstance(parts, type) else keras.Sequential(parts())
    model.compile(FuzzyHess(seed=0, **settings), "mse", jit_compile=False)
    return model


def fit(model, **kwargs):
    model.fit(X, Y, batch_size=16, verbose=0, **kwargs)


@pytest.mark.parametrize("parts", [flat, nested, Own])
def test_fit_without_the_callback_is_told_of_once_before_it_takes_long(parts):
    model = model_of(parts)
    with pytest.warns(UserWarning, match=TOLD) as told:
        fit(model)
    assert "the_norm" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, epochs=2)


def frozen():
    return [layers.Dense(4), norm(trainable=False), layers.Dense(1)]


def short_memory():
    return flat(momentum=0.9)


def endless_memory():
    return flat(momentum=1.0)


class Student(Own):
    """Taught by a network that could be trained, and is not."""

    def __init__(self):
        super().__init__()
        self.parts = no_norm()
        self.teacher = keras.Sequential([keras.Input((6,)), *flat()])

    def train_step(self, data):
        x, _ = data
        return super().train_step((x, self.teacher(x, training=False)))


def no_norm():
    return [layers.Dense(4), layers.LayerNormalization(), layers.Dense(1)]


@pytest.mark.parametrize(
    "parts, settings, callbacks",
    [
        (flat, {}, [AveragesInValidation]),
        (Own, {}, [AveragesInValidation]),
        (flat, {"use_ema": False}, []),
        (frozen, {}, []),
        (no_norm, {}, []),
        (short_memory, {}, []),
        (endless_memory, {}, []),
    ],
    ids=[
        "callback",
        "callback, own step",
        "no averages",
        "frozen",
        "no BatchNorm",
        "short memory",
        "endless memory",
    ],
)
def test_nobody_is_told_who_has_no_need(parts, settings, callbacks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model_of(parts, **settings), callbacks=[make() for make in callbacks])


@pytest.mark.filterwarnings("ignore:.build..|Gradients do not")  # Keras, of the student
def test_a_teacher_is_not_told_of():
    model = model_of(Student)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", TOLD)
        fit(model)


def test_a_second_fit_without_the_callback_is_told_of():
    model = model_of(flat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, callbacks=[AveragesInValidation()])
    with pytest.warns(UserWarning, match=TOLD):
        fit(model)


def test_train_on_batch_is_not_told_of():
    model = model_of(flat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train_on_batch(X[:16], Y[:16])


@pytest.mark.slow
def test_replicas_are_told_of():
    with mirrored_strategy().scope():
        model = model_of(flat)
    with pytest.warns(UserWarning, match=TOLD):
        fit(model)
