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

import tensorflow as tf

WORD_LENGTH = 32
"""Number of random signs that an integer holds; an integer for each would take longer
to draw."""


def random_signs(
    like: Sequence[tf.Tensor | tf.Variable], state: tf.Tensor
) -> list[tf.Tensor]:
    """Independent random signs (Rademacher), one for each element.

    Args:
        like: List of tensors or variables, whose shapes and dtypes the signs take.
        state: Integer tensor of shape `(2,)`, what `keras.random.SeedGenerator.next`
            returns: other signs for every state.

    Returns:
        List of tensors of -1 and +1.

    Example:

    >>> import keras
    >>> state = keras.random.SeedGenerator(0).next()
    >>> signs = random_signs([tf.Variable(tf.zeros((2, 3)))], state)[0]
    >>> signs.shape, sorted(set(abs(signs).numpy().ravel().tolist()))
    (TensorShape([2, 3]), [1.0])
    """
    shapes = [tf.TensorShape(x.shape) for x in like]
    sizes = [shape.num_elements() for shape in shapes]
    counts = [-(-size // WORD_LENGTH) for size in sizes]
    words = tf.random.stateless_uniform(
        [sum(counts)], tf.cast(state, tf.int32), None, None, tf.int32
    )
    bits = tf.bitwise.left_shift(1, tf.range(WORD_LENGTH))
    are_set = tf.reshape(tf.bitwise.bitwise_and(words[:, tf.newaxis], bits) != 0, [-1])
    lengths = []  # of what is used of each one's words, and of the rest of the last
    for count, size in zip(counts, sizes, strict=True):
        lengths += [size, count * WORD_LENGTH - size]
    ones = {x.dtype: tf.ones((), x.dtype) for x in like}
    minus_ones = {dtype: -one for dtype, one in ones.items()}
    return [
        tf.where(
            own if shape.rank == 1 else tf.reshape(own, shape),
            ones[x.dtype],
            minus_ones[x.dtype],
        )
        for x, shape, own in zip(
            like, shapes, tf.split(are_set, lengths)[::2], strict=True
        )
    ]


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
