"""Diagonal of the Hessian from two gradients: probes, their averages, a reference.

The gradient at `w + shift` minus the gradient at `w`, divided element by element by
the shift, is

    (H shift)_i / shift_i = H_ii + sum_{j != i} H_ij shift_j / shift_i .

With independent random signs as the shift the second term has mean zero, and the
quotient is an unbiased estimate of the diagonal (Hutchinson 1989; Bekas et al. 2007).
With a constant shift, as in arXiv 2403.15416, it is the row sum of the Hessian
instead, however many probes are averaged.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

WORD_LENGTH = 32
"""Number of random signs that an integer holds."""


def random_signs(
    like: Sequence[tf.Tensor | tf.Variable],
    seed: keras.random.SeedGenerator,
    are_needed: tf.Tensor | bool = True,
) -> list[tf.Tensor]:
    """Independent random signs (Rademacher), one for each element.

    Args:
        like: List of tensors or variables, whose shapes and dtypes the signs take.
        seed: `keras.random.SeedGenerator`, advanced once. As part of the optimizer's
            state it makes the sequence differ from step to step and go on after a
            reload.
        are_needed: Scalar boolean. Without need no random number is drawn, and all
            signs are -1; the seed is advanced all the same.

    Returns:
        List of tensors of -1 and +1.

    Example:

    >>> seed = keras.random.SeedGenerator(0)
    >>> signs = random_signs([tf.Variable(tf.zeros((2, 3)))], seed)[0]
    >>> signs.shape, sorted(set(abs(signs).numpy().ravel().tolist()))
    (TensorShape([2, 3]), [1.0])
    """
    sizes = [tf.TensorShape(x.shape).num_elements() for x in like]
    counts = [-(-size // WORD_LENGTH) for size in sizes]
    state = tf.cast(seed.next(), tf.int32)
    # Drawn in a branch also because XLA on a CPU would fuse the drawing into what uses
    # the signs, and draw each word again for each of its bits.
    words = tf.cond(
        tf.convert_to_tensor(are_needed),
        lambda: tf.random.stateless_uniform([sum(counts)], state, None, None, tf.int32),
        lambda: tf.zeros([sum(counts)], tf.int32),
    )
    return [
        tf.cast(tf.reshape(_signs_in(own)[:size], x.shape), x.dtype)
        for x, own, size in zip(like, tf.split(words, counts), sizes, strict=True)
    ]


def _signs_in(words: tf.Tensor) -> tf.Tensor:
    """Signs from the bits of random words; a word for each would take far longer."""
    bits = tf.bitwise.right_shift(words[:, tf.newaxis], tf.range(WORD_LENGTH))
    return tf.reshape(2 * tf.bitwise.bitwise_and(bits, 1) - 1, [-1])


def diagonal_sample(
    gradients: Sequence[tf.Tensor],
    shifted_gradients: Sequence[tf.Tensor],
    shifts: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """One sample of the Hessian's diagonal, `(g(w + shift) - g(w)) / shift`.

    Args:
        gradients: List of tensors `g(w)`.
        shifted_gradients: List of tensors `g(w + shift)`, on the same minibatch and
            with the same noise.
        shifts: The shifts; no element may be zero.

    Returns:
        List of tensors, in units of loss per squared weight. Source: arXiv
        2403.15416, its approximation of the second derivative.

    Example:

    >>> w, h, r = tf.constant([1.0, 2.0]), tf.constant([3.0, 5.0]), 0.5
    >>> shift = tf.constant([r, -r])
    >>> diagonal_sample([h * w], [h * (w + shift)], [shift])[0].numpy().tolist()
    [3.0, 5.0]
    """
    return [
        (shifted - gradient) / shift
        for gradient, shifted, shift in zip(
            gradients, shifted_gradients, shifts, strict=True
        )
    ]


def hessian_vector_product(
    loss_fn: Callable[[], tf.Tensor],
    variables: Sequence[tf.Variable],
    vectors: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """The exact product of the Hessian with a vector (Pearlmutter 1994).

    The reference beside the probes: it costs about twice a gradient and needs every
    operation of the model to be twice differentiable, which loops compiled by XLA and
    some fused kernels are not; that is why the probes do without it.

    Args:
        loss_fn: Callable without arguments that returns the scalar loss.
        variables: List of the weights.
        vectors: List of tensors of the weights' shapes.

    Returns:
        List of tensors `H v`, zeros where the gradient does not depend on the weight.

    Example:

    >>> w = tf.Variable([1.0, 2.0])
    >>> loss = lambda: w[0] ** 2 * w[1]
    >>> hessian_vector_product(loss, [w], [tf.constant([1.0, 0.0])])[0].numpy().tolist()
    [4.0, 2.0]
    """
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = loss_fn()
        gradients = inner.gradient(loss, variables)
        slope = tf.add_n(
            [
                tf.reduce_sum(tf.convert_to_tensor(g) * v)  # of an embedding: slices
                for g, v in zip(gradients, vectors, strict=True)
                if g is not None
            ]
        )
    products = outer.gradient(
        slope, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return [tf.convert_to_tensor(product) for product in products]
