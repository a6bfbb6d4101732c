"""Small networks, and data on which each can learn something."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_fuzzyhess import FuzzyHess
from tests.helpers.networks import BATCH, CLASSES, cross_entropy

BATCHES = 4


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network, its loss, and `BATCHES` minibatches of data.

    Attributes:
        build: Makes the network; after `keras.utils.set_random_seed` always the same.
        data: Tuple of inputs, labels and, where there are some, sample weights.
        losses: What `compile` takes: `loss`, and `loss_weights` where there are some.
    """

    build: Callable[[], keras.Model]
    data: tuple
    losses: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"loss": cross_entropy}
    )

    def compiled(self, optimizer: FuzzyHess, **kwargs) -> keras.Model:
        """The network, always with the same first weights."""
        keras.utils.set_random_seed(0)
        model = self.build()
        model.compile(optimizer, **({"jit_compile": False} | self.losses | kwargs))
        return model

    def batches(self) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(self.data).batch(BATCH)


def _normal(*shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCHES * BATCH, *shape)).astype("float32")


def _labels(x):
    """The class of each input, which a linear network can tell."""
    flat = x.reshape(len(x), -1)
    scores = flat @ np.random.default_rng(1).normal(size=(flat.shape[1], CLASSES))
    return scores.argmax(axis=1)


def _sequential(shape, *hidden):
    return keras.Sequential([layers.Input(shape), *hidden, layers.Dense(CLASSES)])


def dense() -> Problem:
    x = _normal(6)
    return Problem(lambda: _sequential((6,), layers.Dense(8, "tanh")), (x, _labels(x)))


def shared_layer() -> Problem:
    def build():
        shared, x = layers.Dense(6, "tanh"), layers.Input((6,))
        return keras.Model(x, layers.Dense(CLASSES)(shared(shared(x))))

    return dataclasses.replace(dense(), build=build)


def batch_norm() -> Problem:
    """With dropout, whose noise must be the same at shifted weights."""

    def build():
        return _sequential(
            (6,),
            layers.Dense(16, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.1),
        )

    return dataclasses.replace(dense(), build=build)


def recurrent() -> Problem:
    x = _normal(3, 2)
    return Problem(
        lambda: _sequential((3, 2), layers.GRU(6, recurrent_dropout=0.1)),
        (x, _labels(x)),
    )


def _words():
    """Sentences, the lengths to cut them to, and what each word says of the class."""
    rng = np.random.default_rng(0)
    sentences = rng.integers(0, 11, (BATCHES * BATCH, 4)).astype("int32")
    lengths = np.arange(len(sentences)) % 4 + 1
    return sentences, lengths, rng.normal(size=(11, CLASSES))[sentences]


def _embedding():
    return layers.Embedding(11, 4, embeddings_initializer="glorot_uniform")


def embedding() -> Problem:
    def build():
        return _sequential((4,), _embedding(), layers.GlobalAveragePooling1D())

    sentences, _, scores = _words()
    return Problem(build, (sentences, scores.mean(axis=1).argmax(axis=1)))


class _MeanOfWords(layers.Layer):
    """The mean over a dimension that is ragged."""

    def call(self, words):
        return tf.reduce_mean(words, axis=1)


def ragged() -> Problem:
    def build():
        words = layers.Input((None,), dtype="int32", ragged=True)
        mean = _MeanOfWords()(_embedding()(words))
        return keras.Model(words, layers.Dense(CLASSES)(mean))

    sentences, lengths, scores = _words()
    scores[np.arange(4) >= lengths[:, None]] = 0.0  # words that are left out
    words = tf.RaggedTensor.from_tensor(sentences, lengths=lengths)
    return Problem(build, (words, scores.sum(axis=1).argmax(axis=1)))


def dictionary() -> Problem:
    def build():
        inputs = {
            name: layers.Input((size,), name=name)
            for name, size in (("left", 2), ("right", 4))
        }
        hidden = layers.Dense(8, "tanh")(layers.Concatenate()(list(inputs.values())))
        return keras.Model(inputs, layers.Dense(CLASSES)(hidden))

    x, y = dense().data
    return Problem(build, ({"left": x[:, :2], "right": x[:, 2:]}, y))


def several_losses() -> Problem:
    """Two outputs, each with its loss, loss weight and sample weights."""

    def build():
        x = layers.Input((6,))
        hidden = layers.Dense(8, "tanh")(x)
        outputs = {
            "class": layers.Dense(CLASSES, name="class")(hidden),
            "sum": layers.Dense(1, name="sum")(hidden),
        }
        return keras.Model(x, outputs)

    x, y = dense().data
    total = x.sum(axis=1, keepdims=True)
    importance = np.linspace(0.0, 2.0, len(y), dtype="float32")
    return Problem(
        build,
        (
            x,
            {"class": y, "sum": total},
            {"class": importance, "sum": importance[::-1].copy()},
        ),
        {
            "loss": {"class": cross_entropy, "sum": "mse"},
            "loss_weights": {"class": 1.0, "sum": 0.3},
        },
    )
