"""SOAP of the benchmark beside a plain reference, beside AdamW, and at work."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.soap import SOAP

RATE, BETA, EPSILON = 0.01, 0.95, 1e-8


def reference(weights, gradients, interval):
    """Algorithm 3, one line after the other; the first gradient gives the bases."""
    left, right = gradients[0] @ gradients[0].T, gradients[0].T @ gradients[0]
    left, right = (1 - BETA) * left, (1 - BETA) * right
    bases = [np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]]
    momentum, squares = np.zeros_like(weights), np.zeros_like(weights)
    for t, g in enumerate(gradients[1:], start=1):
        q_left, q_right = bases
        momentum = BETA * momentum + (1 - BETA) * g
        squares = BETA * squares + (1 - BETA) * (q_left.T @ g @ q_right) ** 2
        m_hat, v_hat = momentum / (1 - BETA**t), squares / (1 - BETA**t)
        rotated = (q_left.T @ m_hat @ q_right) / (np.sqrt(v_hat) + EPSILON)
        weights = weights - RATE * q_left @ rotated @ q_right.T
        left = BETA * left + (1 - BETA) * g @ g.T
        right = BETA * right + (1 - BETA) * g.T @ g
        if t % interval == 0:
            for axis, statistic in enumerate((left, right)):
                product = statistic @ bases[axis]
                order = np.argsort(-np.sum(bases[axis] * product, axis=0))
                bases[axis] = np.linalg.qr(product[:, order])[0]
                squares = np.take(squares, order, axis=axis)
    return weights


def gradients_of(shape, count=12):
    """Some directions are steeper than others, so that bases are well defined."""
    random = np.random.default_rng(0)
    steep = random.normal(size=(shape[-1], shape[-1])) * 2.0 ** np.arange(shape[-1])
    return [random.normal(size=shape) @ steep for _ in range(count)]


def trained(optimizer, weights, gradients):
    """The weights after a step with each gradient, in one graph."""
    variable = keras.Variable(weights)
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([g], [variable]))
    for gradient in gradients:
        step(tf.constant(gradient, "float32"))
    return variable.numpy()


@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3)])
def test_it_is_the_papers_algorithm(shape):
    """To within 1e-5, a thousandth of a step: float32 here, float64 there."""
    gradients, weights = gradients_of(shape), np.ones(shape)
    found = trained(
        SOAP(RATE, weight_decay=None, interval=3), weights.astype("float32"), gradients
    )
    matrices = [g.reshape(-1, shape[-1]) for g in gradients]
    expected = reference(weights.reshape(-1, shape[-1]), matrices, interval=3)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


class Unrotated(SOAP):
    """Its bases stay at the identity."""

    def _move(self, average, basis, squares, axis):
        pass


@pytest.mark.parametrize(
    "make, shape",
    [
        (Unrotated, (4, 3)),
        (lambda *args: SOAP(*args, longest_side=2), (4, 3)),
        (SOAP, (5,)),
    ],
)
def test_without_rotation_it_is_adamw(make, shape):
    """From the second gradient on; of the first, both have the weights decay alone."""
    gradients = gradients_of(shape)
    found = trained(make(RATE, 0.5), np.ones(shape, "float32"), gradients)
    adamw = keras.optimizers.AdamW(
        RATE, weight_decay=0.5, beta_1=BETA, beta_2=BETA, epsilon=EPSILON
    )
    decayed = np.full(shape, 1 - RATE * 0.5, "float32")
    expected = trained(adamw, decayed, gradients[1:])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_long_side_leaves_the_other_rotated():
    """Of a matrix whose rows are not rotated, a rotation of the columns is undone."""
    gradients, weights = gradients_of((4, 3)), np.zeros((4, 3), "float32")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]

    def with_gradients(which):
        optimizer = SOAP(RATE, None, interval=3, longest_side=3)
        return trained(optimizer, weights, which)

    turned = with_gradients([g @ turn for g in gradients])
    np.testing.assert_allclose(turned, with_gradients(gradients) @ turn, atol=1e-5)


def test_it_learns_a_network_in_one_trace():
    """Words, a convolution, a bias and a scale; the bases are moved four times."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            keras.layers.Embedding(5, 6),
            keras.layers.Conv1D(4, 3, activation="tanh"),
            keras.layers.LayerNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    optimizer = SOAP(0.03)
    words = np.random.default_rng(0).integers(0, 5, (64, 8))
    counts = np.sum(words == 2, axis=1, keepdims=True).astype("float32")

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    optimizer.build(model.trainable_variables)
    losses = [float(step(tf.constant(words), tf.constant(counts))) for _ in range(50)]
    assert losses[-1] < 0.1 * losses[0]
    assert step.experimental_get_tracing_count() == 1
    for _, _, sides in optimizer._states:
        for _, basis in filter(None, sides):
            gram = basis.numpy().T @ basis.numpy()
            np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
