"""A direction whose matrices are replaced by the nearest orthogonal ones."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_between, check_integer
from keras_fuzzyhess.direction.diagonal import Diagonal
from keras_fuzzyhess.direction.direction import (
    Course,
    Direction,
    MeasuredCurvature,
    check_direction,
    checked_course,
)
from keras_fuzzyhess.parts import Basis, Step, named
from keras_fuzzyhess.state.matrices import block_lengths, matrix_sides
from keras_fuzzyhess.state.packing import Packing, specs_of

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial: Jordan et al. 2024 (Muon), as in `keras.optimizers.Muon`."""

MOST_ITERATIONS = 5
"""Beyond, rounding in `X X'` grows to the size of what is computed. Our choice."""


def nearly_orthogonal(matrices: tf.Tensor, iterations: int) -> tf.Tensor:
    """The nearest semi-orthogonal matrices, roughly (Newton-Schulz).

    ```
    X <- X / sqrt(|X X'|) ,    then, again and again,
    X <- P X ,    P = 3.4445 - 4.7750 X X' + 2.0315 (X X')**2
    ```

    with `|.|` the root of the sum of squares. Of a singular value decomposition
    `U S V'` it keeps `U` and `V`. Singular values come near 1, between 0.67 and 1.2:
    after two iterations those from 0.06 to 1, as shares of `sqrt(|X X'|)`, after three
    those from 0.02, after five from 0.0015. Smaller ones stay smaller.

    `X X'` and the product of all `P` are computed first, for they are functions of each
    other: then long rows are multiplied twice, however many the iterations.

    Args:
        matrices: Tensor of shape `(count, rows, columns)`, rows at most columns.
        iterations: Integer in [1, 5].

    Returns:
        Tensor of that shape. Zeros stay zeros.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. There, `X` is
    divided by `|X|`. The singular values are at most 1 after either; they are nearer to
    1 after ours, so that fewer iterations do.

    Example:

    >>> x = nearly_orthogonal(tf.constant([[[3.0, 0.0, 0.0], [0.0, 0.0, 2.0]]]), 3)
    >>> bool(tf.reduce_all(abs(tf.matmul(x, x, transpose_b=True) - tf.eye(2)) < 0.6))
    True
    """
    return _with_norms(matrices, iterations)[0]


def _with_norms(matrices: tf.Tensor, iterations: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The nearly orthogonal matrices, and the norms of those given."""
    # Elements near 1 first: the squares of small ones are not numbers of float32.
    largest = tf.reduce_max(tf.abs(matrices), axis=(1, 2), keepdims=True)
    x = tf.math.divide_no_nan(matrices, largest)
    square = tf.matmul(x, x, transpose_b=True)
    size = _norms(square)
    norms = largest * tf.sqrt(tf.linalg.trace(square))[:, tf.newaxis, tf.newaxis]
    product = _product(tf.math.divide_no_nan(square, size), iterations)
    return tf.matmul(product, tf.math.divide_no_nan(x, tf.sqrt(size))), norms


def _product(square: tf.Tensor, iterations: int) -> tf.Tensor:
    """The product of all `P`, of `X X'`."""
    a, b, c = COEFFICIENTS
    one = tf.eye(square.shape[1], dtype=square.dtype)
    product = one
    for i in range(iterations):
        factor = a * one + b * square + c * tf.matmul(square, square)
        product = factor if i == 0 else tf.matmul(factor, product)
        if i < iterations - 1:
            square = tf.matmul(tf.matmul(factor, square), factor)
    return product


def _norms(matrices: tf.Tensor) -> tf.Tensor:
    return tf.norm(matrices, axis=(1, 2), keepdims=True)


class _Blocks(NamedTuple):
    """How a matrix is cut: its shorter side to a number of blocks of so many rows.

    The last rows are filled up with zeros, which stay zeros.
    """

    sides: tuple[int, int]
    number: int
    rows: int


def _blocks(sides: tuple[int, int], longest_side: int) -> _Blocks:
    lengths = block_lengths(min(sides), longest_side)
    return _Blocks(sides, len(lengths), lengths[0])


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Orthogonal(Direction):
    """Another direction, with each matrix of it made orthogonal at its own norm.

        U <- |U| O / |O| ,    O the semi-orthogonal matrix that is nearest to U

    A matrix of gradients has a few large singular values, and a step along them leaves
    all others where they are. The nearest orthogonal matrix goes along all of them
    alike. Weights that are no matrices (`state/matrices.py`) keep the direction that
    they have. Columns are the last axis: the kernel of a convolution is a matrix with a
    column for each of its outputs, that of an attention one for each place in a head.
    Biases with two axes, as a GRU's, are matrices as well. Rows that are zeros, as
    those of words of an embedding that no minibatch has had yet, stay zeros.

    The work grows with the shorter side `a`, of which a long one is cut into blocks of
    at most `longest_side`, each made orthogonal at its own norm: for each element and
    step `2 a + (4 iterations - 3) a**2 / b` multiplications, `b` the other side and `a`
    at most `longest_side`. No state is kept.

    Args:
        scaled: `Direction`, the other direction. Defaults to `Diagonal()`.
        iterations: Integer in [1, 5], how often the polynomial is applied. Defaults to
            `2`, our choice: small singular values are mostly noise.
        longest_side: Integer of at least 2. Defaults to `128`, our choice: on the
            benchmark, blocks of 64 were as good as whole matrices.

    Raises:
        TypeError: if `scaled` is no `Direction`.
        ValueError: if a number is out of its range.

    Source: Jordan et al. 2024 (Muon) for the matrix of the momentum. To make it of a
    direction that is scaled already, and to keep the norm of that, is our choice: where
    gradients have heavy tails, the matrix of the momentum follows outliers.

    Example:

    >>> Orthogonal().needs_curvature
    True
    >>> Orthogonal(Diagonal(curvature_power=0)).needs_curvature
    False
    """

    scaled: Direction = dataclasses.field(default_factory=Diagonal)
    iterations: int = 2
    longest_side: int = 128

    def __post_init__(self) -> None:
        check_direction("scaled", self.scaled)
        self.iterations = check_integer("iterations", self.iterations, 1)
        check_between("iterations", self.iterations, 1, MOST_ITERATIONS)
        self.longest_side = check_integer("longest_side", self.longest_side, 2)

    @property
    def needs_curvature(self) -> bool:  # type: ignore[override]
        """As the other direction."""
        return self.scaled.needs_curvature

    @property
    def basis(self) -> Basis | None:  # type: ignore[override]
        """As the other direction."""
        return self.scaled.basis

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the state of the other direction."""
        self.scaled.build(weights, named(add, type(self.scaled).__name__))
        self._specs = specs_of(weights)

    def __call__(
        self,
        gradients: list[tf.Tensor],
        curvature: MeasuredCurvature | None,
        step: Step,
    ) -> Course:
        """The other direction, its matrices made orthogonal."""
        course = checked_course(self.scaled(gradients, curvature, step), gradients)
        packing = Packing([self._specs[i] for i in step.indices])
        tensors = packing.unpack(course.vectors)
        for (blocks, _), places in self._alike(tensors).items():
            made = self._made_orthogonal([tensors[i] for i in places], blocks)
            for i, tensor in zip(places, made, strict=True):
                tensors[i] = tensor
        return course._replace(vectors=packing.pack(tensors))

    def _alike(self, tensors: Sequence[tf.Tensor]) -> dict[tuple, list[int]]:
        """Places of matrices by their blocks: those that are alike are done at once."""
        places: dict[tuple, list[int]] = {}
        for i, tensor in enumerate(tensors):
            if sides := matrix_sides(tensor.shape):
                blocks = _blocks(sides, self.longest_side)
                places.setdefault((blocks, tensor.dtype), []).append(i)
        return places

    def _made_orthogonal(
        self, tensors: list[tf.Tensor], blocks: _Blocks
    ) -> list[tf.Tensor]:
        sides, number, rows = blocks
        is_tall = sides[0] > sides[1]
        matrices = tf.stack([tf.reshape(x, sides) for x in tensors])
        if is_tall:
            matrices = tf.transpose(matrices, [0, 2, 1])
        short, filled = min(sides), number * rows
        if filled > short:
            matrices = tf.pad(matrices, [[0, 0], [0, filled - short], [0, 0]])
        cut = tf.reshape(matrices, [-1, rows, max(sides)])
        made, norms = _with_norms(cut, self.iterations)
        made = norms * tf.math.divide_no_nan(made, _norms(made))
        made = tf.reshape(made, [-1, filled, max(sides)])[:, :short]
        if is_tall:
            made = tf.transpose(made, [0, 2, 1])
        return [
            tf.reshape(x, tensor.shape)
            for x, tensor in zip(tf.unstack(made), tensors, strict=True)
        ]
