"""How far the first step goes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.measure.step_length import (
    LARGEST_SCALE,
    StepLength,
    bounded_size,
    shortening,
)
from keras_fuzzyhess.state.vectors import root_mean_square
from tests.helpers import networks

WEIGHTS = [tf.constant([3.0, -4.0]), tf.constant([[0.0], [0.5]])]
FLAT = np.array([3.0, -4.0, 0.0, 0.5])


def begun(weights, **constants):
    length = StepLength(**constants)
    length.build(weights, keras.optimizers.SGD().add_variable)
    length.start(weights)
    return length


def first_length(weights, **constants):
    return begun(weights, **constants).value


def test_means_run_over_all_elements():
    np.testing.assert_allclose(root_mean_square(WEIGHTS), np.sqrt((FLAT**2).mean()))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_first_step_is_a_share_of_the_weights(scale):
    weights = [scale * tf.reshape(w, [-1]) for w in WEIGHTS]
    expected = StepLength.share * scale * np.sqrt((FLAT**2).mean())
    np.testing.assert_allclose(first_length(weights), expected, rtol=1e-6)


def initial(build):
    keras.utils.set_random_seed(0)
    return [tf.convert_to_tensor(v) for v in build().trainable_variables]


@pytest.mark.parametrize("build", networks.ALL.values(), ids=networks.ALL)
def test_of_usual_networks_the_share_is_of_all_weights_to_the_bit(build):
    weights = initial(build)
    plain = tf.constant(StepLength.share) * root_mean_square(weights)
    assert float(first_length(weights)) == float(plain)


KERNEL = np.random.default_rng(0).normal(size=(100, 20)).astype("float32") / 10
VECTORS = {
    "bias at the mean of the targets": np.float32([8000.0] * 3),
    "scalar": np.float32(-1e20),
    "of two axes": np.full((1, 1, 5), 1e6, "float32"),
    "float64": np.full(4, 1e30),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_counts_as_ones_at_most_beside_a_matrix(name):
    vector = VECTORS[name]
    lengths = [
        float(first_length([tf.constant(KERNEL), tf.constant(v)]))
        for v in (vector, np.ones_like(vector))
    ]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-6)
    alone = float(first_length([tf.constant(KERNEL)]))
    assert alone < lengths[0] < 1.2 * alone


SMALL = {
    "LayerScale": np.full(20, 1e-6, "float32"),
    "zero bias": np.zeros(20, "float32"),
    "bias of a GRU": np.zeros((2, 10), "float32"),
    "zero initialized half of LoRA": np.zeros((4, 100), "float32"),
    "table of positions": np.zeros((1, 12, 20), "float32"),
    "zero convolution": np.zeros((1, 1, 20, 20), "float32"),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_weights_count_as_what_they_are_beside_others(name):
    weights = [KERNEL, SMALL[name]]
    plain = StepLength.share * float(root_mean_square(list(map(tf.constant, weights))))
    measured = float(first_length(list(map(tf.constant, weights))))
    assert measured == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1e-3])
@pytest.mark.parametrize("shape", [(64, 10), (3, 3, 8, 4), (2, 5), (1024, 1)])
def test_matrices_that_are_as_good_as_zeros_count_as_usual_ones(shape, scale):
    usual = 1 / np.sqrt(np.prod(shape[:-1]))
    weights = [tf.fill(shape, np.float32(scale * usual)), tf.zeros(shape[-1:])]
    expected = StepLength.share * usual
    np.testing.assert_allclose(first_length(weights), expected, rtol=1e-5)


def test_a_network_is_no_smaller_than_a_share_of_a_usual_one():
    weights = [tf.fill((64, 10), 0.02 / 8)]
    expected = StepLength.share * StepLength.smallest_network / 8
    np.testing.assert_allclose(first_length(weights), expected, rtol=1e-5)


@pytest.mark.parametrize("rows", [100, 10**6])
def test_a_large_matrix_counts_as_a_multiple_of_a_usual_one(rows):
    """A table of a million rows as one of 10,000, whose columns are no sums."""
    expected = (
        StepLength.share
        * StepLength.largest_matrix
        / np.sqrt(min(rows, StepLength.widest))
    )
    for value in (1e3, 1e30):
        weights = [tf.fill((rows, 2), np.float32(value))]
        np.testing.assert_allclose(first_length(weights), expected, rtol=1e-5)


def test_weights_that_begin_at_zero_move():
    length = first_length([tf.zeros(5)])
    np.testing.assert_allclose(
        length, StepLength.share * StepLength.smallest_scale, rtol=1e-6
    )


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_weights_whose_squares_overflow_take_a_finite_step(dtype):
    length = first_length([tf.fill([5], tf.constant(1e30, dtype))])
    np.testing.assert_allclose(length, StepLength.share * LARGEST_SCALE, rtol=1e-6)


def test_a_sudden_size_is_bounded_and_a_lasting_one_followed():
    usual, bounded = tf.constant(0.0), []
    for size in [1.0] * 5 + [20.0] + [1.0] * 5 + [20.0] * 80:
        size, usual = bounded_size(tf.constant(size), usual, 1.5, 0.1)
        bounded.append(float(size))
    assert bounded[:5] == [1.0] * 5
    assert bounded[5] == 1.5
    assert bounded[6] == 1.0
    assert bounded[-1] == 20.0


@pytest.mark.parametrize("slope", [1e-20, 1.0, 1e20])
def test_steps_that_go_too_far_are_shortened_whatever_the_unit_of_the_loss(slope):
    shares = np.array([-1.0, 0.0, 0.7, 0.8, 1.0, 1e6])
    factors = [
        float(shortening(slope, slope * (1 - share), 0.7, 3.0, 0.25))
        for share in shares
    ]
    np.testing.assert_allclose(factors[:3], 1.0, rtol=1e-5)
    np.testing.assert_allclose(factors[3:5], [0.875**3, 0.7**3], rtol=1e-5)
    assert factors[5] == 0.25


@pytest.mark.parametrize("before", [0.0, -1.0])
def test_steps_of_which_the_minibatch_tells_nothing_are_left(before):
    for after in (-5.0, 0.0, 5.0):
        assert float(shortening(before, after, 0.7, 3.0, 0.25)) == 1.0


LARGE, TINY = tf.fill((10_000, 2), 1e3), tf.fill((64, 10), 0.02 / 8)
CHANGES = {
    "share": (0.01, [tf.ones(4)], 0.5),
    "smallest_scale": (0.5, [tf.zeros(4)], 500.0),
    "largest_matrix": (2.0, [LARGE], 0.2),
    "smallest_network": (0.5, [TINY], 5.0),
    "no_weights": (0.05, [TINY], 10.0),
    "widest": (100.0, [LARGE], 10.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_constant_changes_the_first_length_as_it_says(name):
    value, weights, factor = CHANGES[name]
    changed = first_length(weights, **{name: value})
    np.testing.assert_allclose(changed / first_length(weights), factor, rtol=1e-5)


@pytest.mark.parametrize(
    "constants, factor",
    [
        ({}, 0.7**3),
        ({"longest_share": 0.8}, 0.8**3),
        ({"shortening_power": 1.0}, 0.7),
        ({"shortening_power": 0.0}, 1.0),
        ({"largest_shortening": 0.5}, 0.5),
    ],
)
def test_constants_say_how_much_steps_are_shortened(constants, factor):
    length = begun([tf.ones(4)], **constants)
    length.shorten(tf.constant(2.0), tf.constant(0.0))
    np.testing.assert_allclose(length.value, 0.02 * factor, rtol=1e-5)


@pytest.mark.parametrize(
    "constants, bounded",
    [({}, 1.575), ({"largest_growth": 3.0}, 3.6), ({"size_rate": 0.5}, 1.875)],
)
def test_constants_say_how_fast_sizes_grow(constants, bounded):
    length = begun([tf.ones(4)], **constants)
    for size in (1.0, 9.0, 9.0):
        taken = length.along(tf.constant(size)) * size / 0.02
    np.testing.assert_allclose(taken, bounded, rtol=1e-5)
