"""Moving averages of squares: plain ones, and long matrices by rows and columns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Diagonal
from keras_fuzzyhess.state.mean_squares import (
    Factors,
    MeanSquares,
    mean_squares,
    square_roots,
)
from keras_fuzzyhess.state.moving_average import moved_average, unbiased_rate
from keras_fuzzyhess.state.outer_product import dense
from keras_fuzzyhess.state.packing import LONG, Packing

SHAPES = [(3,), (200, 300), (2, 2), (3, 3, 64, 64), (LONG,), (LONG, 1), (1, LONG)]
"""Short ones, long matrices and a kernel, and long ones with a single row or column."""

FACTORED = {1: (200, 300), 3: (576, 64)}


def add_variable(shape, dtype, name):
    return keras.Variable(np.zeros(shape), dtype=dtype, name=name)


def built(shapes=SHAPES):
    return MeanSquares([tf.zeros(s) for s in shapes], add_variable, "velocity")


def random_values(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=s), tf.float32) for s in shapes]


def factored_mean_squares(samples, weights):
    """The reference: plain means of all squares, and only then the factors."""
    squares = np.average(np.square(samples), axis=0, weights=weights)
    rows, columns = squares.mean(1, keepdims=True), squares.mean(0, keepdims=True)
    return rows * columns / squares.mean()


def test_averages_are_those_of_the_samples():
    """Whatever the momenta; in matrices those of their factors."""
    samples = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    averages = [[tf.zeros(12)], [tf.zeros(4), tf.zeros(3)]]
    weight = tf.constant(0.0)
    for beta, sample in zip((0.9, 0.5, 0.99, 0.99, 0.9), samples, strict=True):
        rate, weight = unbiased_rate(1 - beta, weight)
        squares = mean_squares([sample.ravel()] * 2, [None, (4, 3)])
        averages = [
            moved_average(average, new, rate)
            for average, new in zip(averages, ([squares[0]], squares[1]), strict=True)
        ]
    weights = [0.1 * 0.5 * 0.99**2 * 0.9, 0.5 * 0.99**2 * 0.9, 0.01 * 0.99 * 0.9]
    weights += [0.01 * 0.9, 0.1]
    roots = square_roots([averages[0][0], Factors(*averages[1])])
    plain, factored = map(dense, roots)
    expected = np.average(samples**2, axis=0, weights=weights)
    np.testing.assert_allclose(plain, np.sqrt(expected).ravel(), rtol=1e-5)
    expected = factored_mean_squares(samples, weights)
    np.testing.assert_allclose(factored, np.sqrt(expected).ravel(), rtol=1e-5)


def test_squares_that_are_a_product_lose_nothing():
    """Signs do not count: `value**2` is of rank one."""
    a, b = random_values([(5, 1), (1, 7)])
    value = tf.reshape(a * b, [-1])
    (root,) = square_roots(mean_squares([value], [(5, 7)]))
    np.testing.assert_allclose(dense(root), np.abs(value), rtol=1e-5)


def test_before_the_first_value_all_are_zero():
    (root,) = square_roots([Factors(tf.zeros(2), tf.zeros(2))])
    np.testing.assert_array_equal(dense(root), np.zeros(4))


def test_long_matrices_are_kept_by_rows_and_columns_all_else_whole():
    averages = built().read(range(len(SHAPES)))
    factors = [a for a in averages if isinstance(a, Factors)]
    assert [(f.rows.shape[0], f.columns.shape[0]) for f in factors] == list(
        FACTORED.values()
    )
    vectors = [a.shape[0] for a in averages if not isinstance(a, Factors)]
    assert vectors == [3 + 4, LONG, LONG, LONG]


@pytest.mark.parametrize("indices", [list(range(len(SHAPES))), [6, 3, 0], [1], [2, 0]])
def test_what_is_moved_is_read_and_the_others_keep_theirs(indices):
    state, values = built(), random_values(SHAPES)
    everything = list(range(len(SHAPES)))
    for chosen in (everything, indices):
        packed = Packing([values[i] for i in chosen]).pack(
            [values[i] * (1.0 if chosen == everything else 2.0) for i in chosen]
        )
        state.move(packed, tf.constant(1.0), chosen)
    roots = map(dense, square_roots(state.read(everything)))
    roots = Packing(values).unpack(list(roots))
    for i, (value, root) in enumerate(zip(values, roots, strict=True)):
        expected = np.abs(value) * (
            2.0 if i in indices and indices != everything else 1
        )
        if i in FACTORED:
            matrix = np.reshape(expected, FACTORED[i])
            expected = np.sqrt(factored_mean_squares([matrix], [1])).reshape(
                value.shape
            )
        np.testing.assert_allclose(root, expected, rtol=1e-5, err_msg=str(SHAPES[i]))


def test_the_state_of_a_long_matrix_is_hardly_more_than_two_numbers_a_weight():
    weights = [keras.Variable(np.zeros((400, 300))), keras.Variable(np.zeros(300))]
    optimizer = FuzzyHess()
    optimizer.build(weights)
    numbers = sum(np.prod(v.shape, dtype=int) for v in optimizer.variables)
    assert numbers < 2.02 * sum(np.prod(w.shape) for w in weights)


def test_a_step_is_one_with_the_factors_of_what_was_measured():
    """The first one, whose momentum and averages are those of its gradient."""
    values = np.random.default_rng(0).normal(size=(256, 256)).astype("float32")
    w = tf.Variable(values)
    adam = Diagonal(curvature_power=0.0, floor=0.0)
    optimizer = FuzzyHess(direction=adam, seed=0)
    optimizer.minimize(lambda: tf.reduce_sum(w**3) / 3, [w])
    gradient = np.square(values)
    direction = gradient / np.sqrt(factored_mean_squares([gradient], [1]))
    bound = 3 * np.sqrt(np.mean(direction**2))
    direction, step = np.clip(direction, -bound, bound), values - w.numpy()
    length = np.sum(direction * step) / np.sum(direction**2)
    assert length > 0
    np.testing.assert_allclose(step, length * direction, atol=1e-6)
