"""The loss that is found is the one that was differentiated, or none is."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.traced_loss import find_loss

W = np.array([3.0, 4.0], np.float32)


def mean_of_squares(w, tape):
    return tf.reduce_mean(w**2), 12.5


def sum_of_two(w, tape):
    return tf.reduce_mean(w**2) + 0.5 * tf.reduce_sum(tf.abs(w)), 16.0


def a_loss_for_each(w, tape):
    return w**2, 25.0


def negated(w, tape):
    return -tf.reduce_mean(w**2), -12.5


def root(w, tape):
    return tf.sqrt(tf.reduce_sum(w**2)), 5.0


def quotient(w, tape):
    return tf.reduce_sum((w / 2.0) ** 2), 6.25


FOUND = [mean_of_squares, sum_of_two, a_loss_for_each, negated, root, quotient]


@pytest.mark.parametrize("loss_of", FOUND)
def test_finds_the_loss(loss_of):
    w = tf.Variable(W)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss, _ = loss_of(w, tape)
        found = find_loss([tape.gradient(loss, w)], [w])
        return tf.constant(np.nan) if found is None else found

    np.testing.assert_allclose(step(), loss_of(w, None)[1], rtol=1e-6)


def logged_root(loss, w):
    return tf.sqrt(loss)


def logged_sum(loss, w):
    return loss + tf.reduce_sum(w**4)


def logged_linear_sum(loss, w):
    return loss + 0.5 * tf.reduce_sum(w)


def logged_multiple(loss, w):
    return 2.0 * loss


def logged_negative(loss, w):
    return -loss


def logged_log(loss, w):
    return tf.math.log(loss)


@pytest.mark.parametrize(
    "logged",
    [
        logged_root,
        logged_sum,
        logged_linear_sum,
        logged_multiple,
        logged_negative,
        logged_log,
    ],
)
def test_is_not_misled_by_what_is_computed_from_the_loss(logged):
    w = tf.Variable(W)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(w**2)
            logged(loss, w)
        assert find_loss([tape.gradient(loss, w)], [w]) is None

    step()


def test_is_not_misled_by_a_mean_of_what_is_differentiated():
    w = tf.Variable(W)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            losses = w**2
            tf.reduce_mean(losses)
        assert find_loss([tape.gradient(losses, w)], [w]) is None

    step()


def apply_sum_of_two(w):
    gradients = []
    for power in (2, 4):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**power)
        gradients.append(tape.gradient(loss, w))
    return gradients[0] + gradients[1]


def apply_negative(w):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(w**2)
    return -tape.gradient(loss, w)


def apply_double(w):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(w**2)
    return 2.0 * tape.gradient(loss, w)


def apply_weighted(w):
    with tf.GradientTape() as tape:
        losses = w**2
    return tape.gradient(losses, w, output_gradients=tf.constant([1.0, -1.0]))


def apply_negative_and_clipped(w):
    return tf.clip_by_norm(apply_negative(w), 1.0)


def apply_negative_and_clipped_by_all(w):
    return tf.clip_by_global_norm([apply_negative(w)], 1.0)[0][0]


def apply_negative_where_finite(w):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(w**2)
    gradient = tape.gradient(loss, w)
    return tf.where(tf.math.is_finite(gradient), -gradient, 0.0)


def apply_by_a_negative_divisor(w):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(w**2)
    return tape.gradient(loss, w) / -1.0


def apply_with_a_decay(w):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(w**2)
    return tape.gradient(loss, w) + 0.5 * w


def apply_mean_of_samples(w):
    with tf.GradientTape() as tape:
        losses = tf.linalg.matvec(tf.ones((3, 2)), w**2)
    return tf.reduce_mean(tape.jacobian(losses, w), axis=0)


def apply_clipped_samples(w):
    with tf.GradientTape() as tape:
        losses = tf.reduce_mean((tf.ones((3, 2)) * w) ** 2, axis=1)
    each = tape.jacobian(losses, w)
    return tf.reduce_sum(tf.clip_by_norm(each, 1.0, axes=[1]), axis=0)


def apply_those_of_a_function(w):
    @tf.function(autograph=False)
    def inside():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**2)
        return tape.gradient(loss, w)

    return inside()


@pytest.mark.parametrize(
    "gradient_of",
    [
        apply_sum_of_two,
        apply_negative,
        apply_negative_and_clipped,
        apply_negative_and_clipped_by_all,
        apply_negative_where_finite,
        apply_by_a_negative_divisor,
        apply_double,
        apply_weighted,
        apply_with_a_decay,
        apply_mean_of_samples,
        apply_clipped_samples,
        apply_those_of_a_function,
    ],
)
def test_finds_none_for_gradients_of_something_else(gradient_of):
    w = tf.Variable(W)

    @tf.function(autograph=False)
    def step():
        assert find_loss([gradient_of(w)], [w]) is None

    step()


CLIPPED = {
    "by value": lambda gradients: [tf.clip_by_value(g, -1.0, 1.0) for g in gradients],
    "by norm": lambda gradients: [tf.clip_by_norm(g, 1.0) for g in gradients],
    "by global norm": lambda gradients: tf.clip_by_global_norm(gradients, 1.0)[0],
    "by hand": lambda gradients: [
        g / tf.maximum(tf.linalg.global_norm(gradients), 1.0) for g in gradients
    ],
}


@pytest.mark.parametrize("clip", CLIPPED.values(), ids=CLIPPED)
def test_finds_the_loss_of_clipped_gradients(clip):
    """Of a matrix, a scalar and an embedding, whose gradient is one of slices."""
    variables = [tf.Variable(W), tf.Variable(2.0), tf.Variable(W[:, None])]

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            rows = tf.gather(variables[2], [1, 1])
            loss = tf.add_n([tf.reduce_sum(w**2) for w in (*variables[:2], rows)])
        gradients = clip(
            [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        )
        return find_loss(gradients, variables)

    np.testing.assert_allclose(step(), 25.0 + 4.0 + 32.0, rtol=1e-6)


@pytest.mark.parametrize("divisor", ["constant", "variable", "norm"])
def test_unscales_the_loss_as_the_gradients(divisor):
    """By a number that does not depend on the weights, the same for all."""
    variables, scale = [tf.Variable(W), tf.Variable(2 * W)], tf.Variable(8.0)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(w**2) for w in variables])
            scaled = 8.0 * loss
        gradients = tape.gradient(scaled, variables)
        by = {
            "constant": lambda: 8.0,
            "variable": lambda: scale,
            "norm": lambda: tf.linalg.global_norm(gradients) * 0.0 + 1.0,
        }[divisor]
        return find_loss([g / by() for g in gradients], variables)

    expected = 125.0 * (8.0 if divisor == "norm" else 1.0)
    np.testing.assert_allclose(step(), expected, rtol=1e-6)


@pytest.mark.parametrize("divisors", [(4.0, 1.0), (4.0, 2.0), (4.0, None)])
def test_finds_none_where_gradients_were_divided_by_different_numbers(divisors):
    variables = [tf.Variable(W), tf.Variable(2 * W)]

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(w**2) for w in variables])
        gradients = [
            g if divisor is None else g / divisor
            for g, divisor in zip(tape.gradient(loss, variables), divisors, strict=True)
        ]
        assert find_loss(gradients, variables) is None

    step()


def test_leaves_no_graph_behind():
    """A recompiled model's graph must go, with all that it has captured."""
    import gc
    import weakref

    w = tf.Variable(W)

    def traced():
        graphs = []

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(w**2)
            find_loss([tape.gradient(loss, w)], [w])
            graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))

        step()
        return graphs[0]

    graph = traced()
    gc.collect()
    assert graph() is None
