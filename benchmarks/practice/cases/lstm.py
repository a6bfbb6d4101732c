"""Which topic a passage of sixteen words is from: a bidirectional LSTM."""

import keras
from keras import layers

from benchmarks import datasets
from benchmarks.practice.case import Case, compile_classifier, wrong, wrong_by_chance


def build():
    return keras.Sequential(
        [
            keras.Input((datasets.PASSAGE,), dtype="int32"),
            layers.Embedding(datasets.VOCABULARY, 32),
            layers.Bidirectional(layers.LSTM(32)),
            layers.Dropout(0.3),
            layers.Dense(datasets.TOPICS, "softmax"),
        ]
    )


CASE = Case(
    "bidirectional LSTM",
    datasets.passages,
    build,
    compile_classifier,
    wrong,
    wrong_by_chance,
    epochs=25,
    patience=3,
    batch_size=32,
)
