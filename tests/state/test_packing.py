"""Weights as fewer vectors and back, also when a step trains only some of them."""

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.state.packing import LONG, PackedState, Packing

TENSORS = [
    tf.constant([[1.0, 2.0], [3.0, 4.0]]),
    tf.constant([5.0], tf.float64),
    tf.constant(6.0),
]


def add_variable(shape, dtype, name):
    return keras.Variable(np.zeros(shape), dtype=dtype, name=name)


def test_one_vector_for_each_dtype_and_back():
    packing = Packing(TENSORS)
    vectors = packing.pack(TENSORS)
    assert [v.numpy().tolist() for v in vectors] == [[1, 2, 3, 4, 6], [5]]
    assert [v.dtype for v in vectors] == [tf.float32, tf.float64]
    for tensor, same in zip(TENSORS, packing.unpack(vectors), strict=True):
        assert (tensor.shape, tensor.dtype) == (same.shape, same.dtype)
        np.testing.assert_array_equal(tensor, same)


def test_long_weights_stay_alone_and_short_ones_fill_vectors():
    sizes = [LONG - 3, 2, LONG, 1, 1, LONG + 5, 7]
    packing = Packing([tf.zeros(size) for size in sizes])
    assert packing.lengths == [LONG, LONG, 8, LONG + 5]
    tensors = [tf.fill([size], float(i)) for i, size in enumerate(sizes)]
    for tensor, same in zip(
        tensors, packing.unpack(packing.pack(tensors)), strict=True
    ):
        np.testing.assert_array_equal(tensor, same)


def test_state_of_some_weights_leaves_the_others():
    state = PackedState(TENSORS, add_variable, "state")
    state.assign(Packing(TENSORS).pack(TENSORS), [0, 1, 2])
    assert [v.numpy().tolist() for v in state.read([2, 0])] == [[6, 1, 2, 3, 4]]
    state.assign([tf.constant([7.0, 0.0, 0.0, 0.0, 0.0])], [2, 0])
    vectors = state.read([0, 1, 2])
    assert [v.numpy().tolist() for v in vectors] == [[0, 0, 0, 0, 7], [5]]


def test_a_step_on_some_weights_moves_no_other():
    a, b = tf.Variable([1.0, -2.0]), tf.Variable([[3.0], [4.0]], dtype=tf.float32)
    optimizer = FuzzyHess(seed=0)
    optimizer.build([a, b])

    @tf.function
    def step(variables):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(a**2) + tf.reduce_sum(b**2)
            loss = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(loss, variables), variables)

    for _ in range(4):
        step([b])
    assert a.numpy().tolist() == [1.0, -2.0]
    moved = b.numpy().ravel()
    assert np.all(np.abs(moved) < [3.0, 4.0])
    for _ in range(30):
        step([b, a])
    assert np.all(np.abs(a) < [1.0, 2.0])
