"""Handwritten digits: small convolutions with BatchNorm and dropout."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case, compile_classifier, wrong, wrong_by_chance


def build():
    found = [keras.Input((8, 8, 1))]
    for filters in (16, 32):
        found += [
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
        ]
    found += [
        layers.Flatten(),
        layers.Dense(64, "relu"),
        layers.Dropout(0.3),
        layers.Dense(10, "softmax"),
    ]
    return keras.Sequential(found)


CASE = Case(
    "digits",
    datasets.digits,
    build,
    compile_classifier,
    wrong,
    wrong_by_chance,
    epochs=30,
    patience=5,
    batch_size=32,
)
