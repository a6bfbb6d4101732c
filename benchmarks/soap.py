"""SOAP, after its paper, for comparison only."""

import math

import keras
import tensorflow as tf


class SOAP(keras.optimizers.Optimizer):
    """Vyas et al., arXiv 2409.11321: AdamW in the eigenbases of Shampoo's statistics.

    Algorithms 3 and 4, with the paper's betas, epsilon and interval. Of a matrix of
    gradients `G`, averages of `G G'` and `G' G` have eigenbases `Q_L` and `Q_R`. The
    squares of `Q_L' G Q_R` are averaged; momentum stays in the original space and is
    turned whenever it is needed. Like the authors' code (github.com/nikhilvyas/SOAP),
    and unlike the algorithms:

    - The first gradient gives the first bases, by `eigh`, and no step. (Keras's weight
      decay is applied all the same.)
    - Bias is corrected, and epsilon added to the root, as Adam does it.
    - Before a power iteration, columns are sorted by their estimated eigenvalues, and
      the averaged squares with them.

    Unlike that code:

    - A kernel of more than two axes is a matrix with its last axis as columns; there,
      each axis has a basis.
    - Sides longer than 1,024 are not rotated; there, those longer than 10,000.
    - Weights decay before the step, as in Keras's AdamW; there, after it.

    Weights that are no matrices are left to AdamW with the same constants.

    Args:
        learning_rate: Float.
        weight_decay: Float, or None for none.
        beta_1: Float, momentum of the gradient.
        beta_2: Float, momentum of the squares and of Shampoo's statistics.
        epsilon: Float, added to the root of the squares.
        interval: Integer, bases are moved every so many steps.
        longest_side: Integer, longer sides are not rotated.
    """

    def __init__(
        self,
        learning_rate=0.003,
        weight_decay=0.01,
        beta_1=0.95,
        beta_2=0.95,
        epsilon=1e-8,
        interval=10,
        longest_side=1024,
        name="soap",
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name=name)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.interval, self.longest_side = interval, longest_side

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._states = [self._state_of(variable) for variable in variables]

    def _state_of(self, variable):
        """Momentum, averaged squares, and the average and basis of both sides."""
        shape = tuple(variable.shape)
        if len(shape) > 1:
            shape = (math.prod(shape[:-1]), shape[-1])

        def add(name, shape, initializer="zeros"):
            return self.add_variable(shape, initializer, variable.dtype, name=name)

        sides = [
            (add("average", (n, n)), add("basis", (n, n), "identity"))
            if len(shape) > 1 and n <= self.longest_side
            else None
            for n in shape
        ]
        return add("momentum", shape), add("squares", shape), sides

    def update_step(self, gradient, variable, learning_rate):
        momentum, squares, sides = self._states[self._get_variable_index(variable)]
        # Gradients of embeddings are slices.
        gradient = tf.reshape(tf.convert_to_tensor(gradient), squares.shape)
        is_first = tf.equal(self.iterations, 0)
        counted = tf.where(is_first, tf.zeros_like(gradient), gradient)
        momentum.assign_add((1 - self.beta_1) * (counted - momentum))
        square = _rotated(counted, sides) ** 2
        squares.assign_add((1 - self.beta_2) * (square - squares))
        step = tf.cast(tf.maximum(self.iterations.value, 1), gradient.dtype)
        rate = tf.cast(learning_rate, gradient.dtype)
        rate *= tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        direction = _rotated(momentum, sides) / (tf.sqrt(squares) + self.epsilon)
        direction = _rotated(direction, sides, back=True)
        self.assign_sub(variable, rate * tf.reshape(direction, variable.shape))
        # Last, for a gradient in a basis that has seen it looks larger than others.
        for axis, side in enumerate(sides):
            if side is not None:
                average, basis = side
                outer = tf.matmul(
                    gradient, gradient, transpose_a=axis == 1, transpose_b=axis == 0
                )
                average.assign_add((1 - self.beta_2) * (outer - average))
                self._move(average, basis, squares, axis)

    def _move(self, average, basis, squares, axis):
        """Brings a basis nearer to the average's, where this step is to do so."""

        def begin():
            basis.assign(tf.linalg.eigh(average)[1])

        def iterate():
            product = tf.matmul(average, basis)
            eigenvalues = tf.reduce_sum(basis * product, axis=0)
            order = tf.argsort(eigenvalues, direction="DESCENDING")
            basis.assign(tf.linalg.qr(tf.gather(product, order, axis=1))[0])
            squares.assign(tf.gather(squares, order, axis=axis))

        is_first = tf.equal(self.iterations, 0)
        is_due = tf.equal(self.iterations % self.interval, 0)
        tf.cond(is_first, begin, lambda: tf.cond(is_due, iterate, lambda: None))


def _rotated(matrix, sides, back=False):
    """A matrix in the bases of its sides, `Q_L' X Q_R`, or back from there."""
    for axis, side in enumerate(sides):
        if side is not None:
            basis = side[1]
            if axis == 0:
                matrix = tf.matmul(basis, matrix, transpose_a=not back)
            else:
                matrix = tf.matmul(matrix, basis, transpose_b=back)
    return matrix
