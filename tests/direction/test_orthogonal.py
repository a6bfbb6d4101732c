"""Matrices made orthogonal, beside singular value decompositions."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.direction import Course, Diagonal, Direction, Orthogonal
from keras_fuzzyhess.direction.orthogonal import COEFFICIENTS, nearly_orthogonal
from keras_fuzzyhess.parts import Step
from keras_fuzzyhess.state.packing import Packing

RANDOM = np.random.default_rng(0)


class Given(Direction):
    """Goes where the gradient points."""

    def __call__(self, gradients, curvature, step):
        return Course(gradients, tf.constant(1.0))


def made(tensors, **constants):
    """What `Orthogonal` makes of a direction, a tensor for each weight."""
    tensors = [tf.constant(x, tf.float32) for x in tensors]
    direction = Orthogonal(Given(), **constants)
    direction.build(tensors, FuzzyHess().add_variable)
    step = Step(tf.constant(0), list(range(len(tensors))))
    packing = Packing(tensors)
    course = direction(packing.pack(tensors), None, step)
    return [x.numpy() for x in packing.unpack(course.vectors)]


def polynomial(singular_values, iterations):
    """What the iterations make of singular values."""
    a, b, c = COEFFICIENTS
    s = singular_values / np.sqrt(np.linalg.norm(singular_values**2))
    for _ in range(iterations):
        s = a * s + b * s**3 + c * s**5
    return s


def reference(matrix, iterations):
    """By a singular value decomposition, in float64."""
    u, s, v = np.linalg.svd(np.float64(matrix), full_matrices=False)
    values = polynomial(s, iterations)
    return (u * values) @ v * np.linalg.norm(s) / np.linalg.norm(values)


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (64, 65)])
@pytest.mark.parametrize("iterations", [1, 3, 5])
def test_singular_vectors_stay_and_values_follow_the_polynomial(shape, iterations):
    matrix = RANDOM.normal(size=shape).astype("float32")
    (result,) = nearly_orthogonal(tf.constant(matrix[np.newaxis]), iterations)
    np.testing.assert_allclose(result, reference(matrix, iterations), atol=2e-3)
    (tall,) = nearly_orthogonal(tf.constant(matrix.T[np.newaxis]), iterations, True)
    np.testing.assert_allclose(tall, result.numpy().T, atol=2e-3)


def test_it_is_near_the_polar_factor():
    u, _, v = np.linalg.svd(RANDOM.normal(size=(16, 48)), full_matrices=False)
    matrix = np.float32(u * np.linspace(0.3, 1, 16) @ v)
    (result,) = nearly_orthogonal(tf.constant(matrix[np.newaxis]), 5)
    result = result * 4 / np.linalg.norm(matrix)  # a norm of sqrt(16)
    values = np.linalg.svd(result, compute_uv=False)
    assert values.min() > 0.65 and values.max() < 1.25
    cosine = np.sum(result * (u @ v)) / np.linalg.norm(result) / 4
    assert cosine > 0.98


def test_every_matrix_keeps_its_norm_and_is_made_by_itself():
    kernel, tall = RANDOM.normal(size=(3, 3, 2, 16)), RANDOM.normal(size=(40, 7))
    alike = [scale * RANDOM.normal(size=(6, 9)) for scale in (1, 100)]
    results = made([kernel, tall, *alike])
    for before, after in zip([kernel, tall, *alike], results, strict=True):
        assert before.shape == after.shape
        np.testing.assert_allclose(
            np.linalg.norm(after), np.linalg.norm(before), rtol=1e-4
        )
        flat = before.reshape(-1, before.shape[-1])
        expected = reference(flat, 2)
        np.testing.assert_allclose(
            after.reshape(flat.shape), expected, atol=1e-3 * np.abs(expected).max()
        )


def test_what_is_no_matrix_stays_to_the_bit():
    weights = [
        RANDOM.normal(size=shape).astype("float32")
        for shape in ((7,), (), (1, 5), (5, 1), (1, 1, 1, 4))
    ]
    for before, after in zip(weights, made(weights), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_long_side_is_cut_into_blocks_that_keep_their_norms():
    matrix = RANDOM.normal(size=(10, 30))  # blocks of 4, 4 and 2
    matrix[4:8] *= 1e-6  # as of inputs that have been zero for a while
    (result,) = made([matrix], longest_side=4)
    for i in (0, 4, 8):
        block = matrix[i : i + 4]
        expected = reference(block, 2)
        np.testing.assert_allclose(
            result[i : i + 4], expected, atol=1e-3 * np.abs(expected).max()
        )
    (tall,) = made([matrix.T], longest_side=4)
    np.testing.assert_allclose(tall, result.T, atol=1e-4)


@pytest.mark.parametrize("size", [1e-33, 1e-24, 1e-15, 1.0, 1e12, 1e30, 1e36])
def test_a_matrix_of_rank_one_stays_whatever_its_size(size):
    matrix = size * np.outer(RANDOM.normal(size=6), RANDOM.normal(size=9))
    np.testing.assert_allclose(made([matrix])[0], matrix, rtol=1e-3, atol=1e-5 * size)


def test_zeros_stay_zeros_and_so_do_rows_of_zeros():
    """As those of words that are not in a minibatch."""
    words = np.zeros((50, 4))
    words[[3, 8, 20, 21, 40]] = RANDOM.normal(size=(5, 4))
    zeros, embedding = made([np.zeros((4, 6)), words])
    assert not zeros.any()
    np.testing.assert_array_equal(embedding.any(axis=1), words.any(axis=1))


def test_float64_is_computed_as_such():
    matrix = RANDOM.normal(size=(1, 6, 9))
    result = nearly_orthogonal(tf.constant(matrix), 3)
    assert result.dtype == tf.float64
    np.testing.assert_allclose(result[0], reference(matrix[0], 3), atol=1e-12)


def test_the_norm_of_tiny_matrices_of_float64_is_kept():
    matrix = 1e-45 * RANDOM.normal(size=(1, 6, 9))
    result = nearly_orthogonal(tf.constant(matrix), 2)
    np.testing.assert_allclose(np.linalg.norm(result), np.linalg.norm(matrix))


@pytest.mark.parametrize(
    "arguments, error, told",
    [
        ({"scaled": "diagonal"}, TypeError, "`scaled` must be a"),
        ({"iterations": 0}, ValueError, "`iterations` must be"),
        ({"iterations": 6}, ValueError, "`iterations` must be"),
        ({"longest_side": 1}, ValueError, "`longest_side` must be"),
        ({"scaled": Diagonal}, TypeError, "`scaled` must be a"),
    ],
)
def test_a_mistaken_argument_is_refused(arguments, error, told):
    with pytest.raises(error, match=told):
        Orthogonal(**arguments)


@pytest.mark.parametrize("size", 10.0 ** np.arange(-45, 0, 3))
def test_small_matrices_stay_finite_and_keep_their_norm(size):
    matrix = (size * RANDOM.normal(size=(33, 40))).astype("float32")
    (result,) = made([matrix], longest_side=16)
    assert np.isfinite(result).all()
    norm = np.linalg.norm(np.float64(matrix))
    if norm > 1e-35:
        np.testing.assert_allclose(np.linalg.norm(np.float64(result)), norm, rtol=1e-3)


def test_inputs_that_are_zero_from_now_on_leave_their_weights():
    """Half of them, in a block of its own: the momentum fades, and so does the step."""
    x = RANDOM.normal(size=(8, 16)).astype("float32")
    w, inputs = tf.Variable(tf.ones((16, 16))), tf.Variable(x)
    optimizer = FuzzyHess(direction=Orthogonal(longest_side=8), seed=0)

    def loss_fn():
        return tf.reduce_mean((tf.tanh(inputs @ w) - 0.5) ** 2)

    for number in range(120):
        if number == 40:
            inputs.assign(x * ([1.0] * 8 + [0.0] * 8))
        if number == 70:
            before = w[8:].numpy()
        optimizer.minimize(loss_fn, [w])
    moved = np.linalg.norm(w[8:] - before) / np.linalg.norm(before)
    assert moved < 0.1, moved
