"""Graph convolutions with dense matrices that tell how a graph was made."""

import keras
from keras import layers, ops

from benchmarks.unseen_data import graphs
from benchmarks.workload import Workload, cross_entropy


@keras.saving.register_keras_serializable(package="benchmarks")
class Degrees(layers.Layer):
    """Of each node a one and the number of its neighbours, an eighth of it."""

    def call(self, adjacency):
        degrees = ops.sum(adjacency, axis=-1, keepdims=True) / 8
        return ops.concatenate([ops.ones_like(degrees), degrees], axis=-1)


@keras.saving.register_keras_serializable(package="benchmarks")
class Neighbours(layers.Layer):
    """Mean over the neighbours of each node; zeros where there are none."""

    def call(self, adjacency, x):
        degrees = ops.sum(adjacency, axis=-1, keepdims=True)
        return ops.matmul(adjacency, x) / ops.maximum(degrees, 1.0)


def build():
    adjacency = keras.Input((graphs.NODES, graphs.NODES))
    x = Degrees()(adjacency)
    for _ in range(3):
        around = Neighbours()(adjacency, x)
        x = layers.ReLU()(
            layers.Dense(32)(x) + layers.Dense(32, use_bias=False)(around)
        )
    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )
    return keras.Model(adjacency, layers.Dense(6)(layers.Dense(32, "relu")(pooled)))


WORKLOAD = Workload("graphs", graphs.graphs, build, cross_entropy, 128, 800, True)
