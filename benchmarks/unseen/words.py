"""The next of 4,096 words from eight: 1.8 million weights in long matrices.

After Bengio et al. (2003).
"""

import keras
from keras import layers

from benchmarks.unseen_data import bible
from benchmarks.workload import Workload, cross_entropy


def build():
    return keras.Sequential(
        [
            keras.Input((bible.CONTEXT,), dtype="int32"),
            layers.Embedding(bible.COMMON, 128),
            layers.Flatten(),
            layers.Dense(256, "gelu"),
            layers.Dense(bible.COMMON),
        ]
    )


WORKLOAD = Workload("words", bible.next_words, build, cross_entropy, 64, 400, True)
