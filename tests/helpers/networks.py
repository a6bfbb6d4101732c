"""Small networks of every kind that the gradient replay must handle."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

CLASSES = 3
BATCH = 16


def dense():
    return keras.Sequential(
        [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(CLASSES)]
    )


def convolution():
    """Convolution, BatchNorm, dropout and a random flip."""
    return keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.RandomFlip(),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


def lstm():
    return keras.Sequential(
        [
            layers.Input((7, 5)),
            layers.LSTM(6, dropout=0.1, recurrent_dropout=0.1),
            layers.Dense(CLASSES),
        ]
    )


def gru():
    return keras.Sequential(
        [layers.Input((7, 5)), layers.GRU(6), layers.Dense(CLASSES)]
    )


def attention():
    """Embedding (sparse gradients) and attention with dropout."""
    tokens = layers.Input((7,), dtype="int32")
    embedded = layers.Embedding(11, 8)(tokens)
    attended = layers.MultiHeadAttention(2, 4, dropout=0.1)(embedded, embedded)
    normed = layers.LayerNormalization()(attended + embedded)
    pooled = layers.GlobalAveragePooling1D()(normed)
    return keras.Model(tokens, layers.Dense(CLASSES)(pooled))


@keras.saving.register_keras_serializable(package="tests")
class RematDense(layers.Layer):
    """Two dense layers whose activations are computed again on the way back."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = [layers.Dense(8, "tanh"), layers.Dense(8, "gelu")]

    def build(self, shape):
        for layer in self.inner:
            layer.build((shape[0], 8))

    def call(self, x):
        return keras.remat(lambda x: self.inner[1](self.inner[0](x)))(x)


def remat():
    return keras.Sequential([layers.Input((8,)), RematDense(), layers.Dense(CLASSES)])


def shared_layer():
    layer = layers.Dense(6, "tanh")
    x = layers.Input((6,))
    return keras.Model(x, layers.Dense(CLASSES)(layer(layer(x))))


def frozen_layer():
    model = dense()
    model.layers[0].trainable = False
    return model


ALL = {
    build.__name__: build
    for build in (
        dense,
        convolution,
        lstm,
        gru,
        attention,
        remat,
        shared_layer,
        frozen_layer,
    )
}


def data(model, batches=1):
    """Random inputs of the model's shape and labels, `batches` times `BATCH`."""
    rng = np.random.default_rng(0)
    count = BATCH * batches
    (spec,) = model.inputs
    shape = (count, *spec.shape[1:])
    if spec.dtype == "int32":
        x = rng.integers(0, 11, shape).astype("int32")
    else:
        x = rng.normal(size=shape).astype("float32")
    return x, rng.integers(0, CLASSES, count)


def random_shifts(model, radius=1e-2):
    rng = np.random.default_rng(1)
    return [
        tf.constant(rng.choice([-radius, radius], v.shape), v.dtype)
        for v in model.trainable_variables
    ]


def weights(model):
    """The model's trainable weights as TensorFlow's variables."""
    return [v.value for v in model.trainable_variables]


cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def relative_error(measured, reference, origin):
    """Distance of `measured` from `reference`, relative to `reference - origin`."""

    def flat(tensors):
        return np.concatenate(
            [np.ravel(tf.convert_to_tensor(t)).astype("float64") for t in tensors]
        )

    reference = flat(reference)
    scale = np.linalg.norm(reference - flat(origin))
    return np.linalg.norm(flat(measured) - reference) / scale
