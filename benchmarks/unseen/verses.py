"""Convolutions over words that tell books of the Bible apart by a verse."""

import keras
from keras import layers

from benchmarks.unseen_data import bible
from benchmarks.workload import Workload, cross_entropy


def build():
    words = keras.Input((bible.VERSE,), dtype="int32")
    x = layers.Embedding(bible.COMMONER, 32)(words)
    pooled = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(32, size, activation="relu")(x))
        for size in (2, 3, 4)
    ]
    x = layers.Dropout(0.2)(layers.Concatenate()(pooled))
    return keras.Model(words, layers.Dense(bible.BOOKS)(x))


WORKLOAD = Workload("verses", bible.verses, build, cross_entropy, 32, 800, True)
