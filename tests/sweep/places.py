"""Where a layer stands in the network that is trained with it."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

ROWS = 10
"""Of the data. With minibatches of `BATCH` the last one is not full."""

BATCH = 4

WORDS = np.array(["one", "two", "three", "four", "five"])


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer between one that feeds it and a head of two dense layers.

    Attributes:
        make: Makes the layer.
        shape: Of one row of the data.
        dtype: Of the data.
        feed: Makes the layer that feeds it; None where it sees the data itself, because
            it takes no numbers that a layer makes, or gives them no gradient.
        call: Calls the layer with what feeds it, where it takes more than that.
    """

    make: Callable[[], keras.Layer]
    shape: tuple[int, ...]
    dtype: str = "float32"
    feed: Callable[[], keras.Layer] | None = None
    call: Callable | None = None

    def parts(self) -> list[keras.Layer]:
        """The layers one after the other, each called with what the last one gave."""
        fed, layer = [self.feed()] if self.feed else [], self.make()
        return [
            *fed,
            Called(layer, self.call) if self.call else layer,
            layers.Flatten(),
            layers.Dense(3, "tanh"),
            layers.Dense(1),
        ]

    def data(self) -> tuple:
        """Random inputs and targets."""
        rng = np.random.default_rng(0)
        y = rng.normal(size=(ROWS, 1)).astype("float32")
        shape = (ROWS, *self.shape)
        if self.dtype == "string":
            words = WORDS[rng.integers(0, len(WORDS), shape)]
            return tf.constant(words), y  # Keras takes no arrays of strings
        if self.dtype == "int32":
            return rng.integers(0, len(WORDS), shape).astype("int32"), y
        return rng.uniform(0.1, 0.9, shape).astype("float32"), y


class Called(layers.Layer):
    """A layer that calls another one, with more than one argument perhaps."""

    def __init__(self, layer, call):
        super().__init__()
        self.layer = layer
        self.call_layer = call

    def call(self, x):
        return self.call_layer(self.layer, x)


class Subclassed(keras.Model):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def functional(place: Place) -> keras.Model:
    """Begins with an Input, and so has weights."""
    x = keras.Input(place.shape, dtype=place.dtype)
    return keras.Model(x, Subclassed(place.parts()).call(x))


def sequential(place: Place) -> keras.Model:
    """Has no weights before it has seen data."""
    return keras.Sequential(place.parts())


def subclassed(place: Place) -> keras.Model:
    """Has no weights before it has seen data."""
    return Subclassed(place.parts())


def flat(make, **kwargs) -> Place:
    """Fed with vectors of four numbers."""
    kwargs = {"feed": lambda: layers.Dense(4, "tanh")} | kwargs
    return Place(make, (3,), **kwargs)


def raw(make, shape=(3,), dtype="float32", **kwargs) -> Place:
    """Sees the data itself."""
    return Place(make, shape, dtype, **kwargs)


def sequence(make, **kwargs) -> Place:
    """Fed with the vectors of five words."""
    kwargs = {"feed": lambda: layers.Embedding(5, 4, "glorot_uniform")} | kwargs
    return Place(make, (5,), "int32", **kwargs)


def image(make, **kwargs) -> Place:
    """Fed with images whose three channels lie between 0 and 1."""
    kwargs = {"feed": lambda: layers.Conv2D(3, 1, activation="sigmoid")} | kwargs
    return Place(make, (6, 6, 2), **kwargs)


def volume(make, **kwargs) -> Place:
    """Fed with volumes of two channels."""
    kwargs = {"feed": lambda: layers.Conv3D(2, 1, activation="tanh")} | kwargs
    return Place(make, (4, 4, 4, 1), **kwargs)


def frames(make, shape) -> Place:
    """Fed with a time series of arrays."""
    return Place(make, shape, feed=lambda: layers.Dense(2, "tanh"))
