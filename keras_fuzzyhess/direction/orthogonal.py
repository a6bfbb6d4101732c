"""A direction whose matrices, if not in eigenbases, are made nearly orthogonal."""

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
from keras_fuzzyhess.state.matrices import matrix_sides
from keras_fuzzyhess.state.packing import Packing, specs_of

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial: Jordan et al. 2024 (Muon), as in `keras.optimizers.Muon`."""

SMALLEST = 2.0**-126
"""Numbers of float32 below it have no inverse."""

MOST_ITERATIONS = 5
"""Beyond, rounding in `X X'` grows to the size of what is computed. Our choice."""


def nearly_orthogonal(
    matrices: tf.Tensor, iterations: int, is_tall: bool = False
) -> tf.Tensor:
    """The nearest semi-orthogonal matrices, roughly, at the norms of those given.

    ```
    X <- U / sqrt(|U U'|) ,    then, again and again,
    X <- P X ,    P = 3.4445 - 4.7750 X X' + 2.0315 (X X')**2 ,    at last
    U <- X |U| / |X|
    ```

    with `|.|` the root of the sum of squares (Newton-Schulz). Of a singular value
    decomposition `U S V'` it keeps `U` and `V`. Singular values of `X` come near 1,
    between 0.67 and 1.2: after two iterations those from 0.06 to 1, as shares of
    `sqrt(|U U'|)`, after three those from 0.02, after five from 0.0015. Smaller ones
    stay smaller.

    `U U'` is computed once. The product of all `P` and the norm of what it makes are
    functions of that small matrix: so long rows are multiplied twice, however many the
    iterations, and no other pass over them is taken but to bring them near 1.

    Args:
        matrices: Tensor of shape `(count, rows, columns)`, rows at most columns.
        iterations: Integer in [1, 5].
        is_tall: Whether columns are at most rows instead: then `U' U` takes the place
            of `U U'`, and `X P` that of `P X`.

    Returns:
        Tensor of that shape. Zeros stay zeros.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. There, `U` is
    divided by `|U|`. The singular values are at most 1 after either; they are nearer to
    1 after ours, so that fewer iterations do. To keep the norm is our choice.

    Example:

    >>> x = nearly_orthogonal(tf.constant([[[8.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]), 5)
    >>> x[0].numpy().round().astype(int)
    array([[6, 0, 0],
           [0, 0, 6]])
    >>> round(float(tf.norm(x)), 3)  # sqrt(65)
    8.062
    """
    # Elements near 1 first: the squares of small ones are not numbers of float32.
    # Two reductions, for absolute values would be written down before they are read.
    axes = {"axis": (1, 2), "keepdims": True}
    largest = tf.maximum(
        tf.reduce_max(matrices, **axes), -tf.reduce_min(matrices, **axes)
    )
    scale = tf.maximum(largest, SMALLEST)
    x = matrices / scale
    square = tf.matmul(x, x, transpose_a=is_tall, transpose_b=not is_tall)
    size = tf.norm(square, **axes)
    relative = tf.math.divide_no_nan(square, size)
    product = _product(relative, iterations)
    # The sum of squares of `P X`, if `relative` is `X X'`.
    made = tf.reduce_sum(tf.matmul(product, relative) * product, **axes)
    given = tf.linalg.trace(relative)[:, tf.newaxis, tf.newaxis]
    product *= scale * tf.sqrt(tf.math.divide_no_nan(given, made))
    return tf.matmul(x, product) if is_tall else tf.matmul(product, x)


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


class _Blocks(NamedTuple):
    """How a matrix is cut: its shorter side to a number of blocks of one length.

    The last block is filled up with zeros, which stay zeros.
    """

    sides: tuple[int, int]
    number: int
    length: int

    @property
    def is_tall(self) -> bool:
        return self.sides[0] > self.sides[1]

    def cut(self, matrices: tf.Tensor) -> tf.Tensor:
        """Matrices to blocks, `(count, rows, columns)` both."""
        rows, columns = self.sides
        short, filled = min(self.sides), self.number * self.length
        if filled > short:
            paddings = [[0, 0], [0, 0], [0, 0]]
            paddings[2 if self.is_tall else 1][1] = filled - short
            matrices = tf.pad(matrices, paddings)
        if not self.is_tall:
            return tf.reshape(matrices, [-1, self.length, columns])
        if self.number == 1:
            return matrices
        apart = tf.reshape(matrices, [-1, rows, self.number, self.length])
        return tf.reshape(tf.transpose(apart, [0, 2, 1, 3]), [-1, rows, self.length])

    def joined(self, cut: tf.Tensor) -> tf.Tensor:
        """The way back."""
        rows, columns = self.sides
        if not self.is_tall:
            return tf.reshape(cut, [-1, self.number * self.length, columns])[:, :rows]
        if self.number > 1:
            apart = tf.reshape(cut, [-1, self.number, rows, self.length])
            cut = tf.reshape(
                tf.transpose(apart, [0, 2, 1, 3]), [-1, rows, self.number * self.length]
            )
        return cut[:, :, :columns]


def _blocks(sides: tuple[int, int], longest_side: int) -> _Blocks:
    """The fewest blocks of at most `longest_side`, and of those the shortest."""
    number = -(-min(sides) // longest_side)
    return _Blocks(sides, number, -(-min(sides) // number))


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Orthogonal(Direction):
    """Another direction, with each matrix of it made orthogonal at its own norm.

        U <- |U| O / |O| ,    O the semi-orthogonal matrix that is nearest to U

    A matrix of gradients has a few large singular values, and a step along them leaves
    all others where they are. The nearest orthogonal matrix goes along all of them
    alike. Weights that are no matrices (`state/matrices.py`), and matrices for which
    the other direction has bases, keep the direction that they have. Columns are the
    last axis: the kernel of a convolution is a matrix with a column for each of its
    outputs, that of an attention one for each place in a head. Biases with two axes, as
    a GRU's, are matrices as well. Rows that are zeros, as those of words of an
    embedding that no minibatch has had yet, stay zeros.

    The work grows with the shorter side `a`, of which a long one is cut into blocks of
    at most `longest_side`, each made orthogonal at its own norm: for each element and
    step `2 a + (4 iterations - 2) a**2 / b` multiplications, `b` the other side and `a`
    at most `longest_side`. No state is kept.

    Args:
        scaled: `Direction`, the other direction. Defaults to `Diagonal()`.
        iterations: Integer in [1, 5], how often the polynomial is applied. Defaults to
            `2`, our choice: small singular values are mostly noise.
        longest_side: Integer of at least 2. Defaults to `64`, our choice: on the
            benchmark as good as blocks of 128 and as whole matrices.

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
    longest_side: int = 64

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
            is_turned = self.basis is not None and self.basis.turns(tensor)
            if not is_turned and (sides := matrix_sides(tensor.shape)):
                blocks = _blocks(sides, self.longest_side)
                places.setdefault((blocks, tensor.dtype), []).append(i)
        return places

    def _made_orthogonal(
        self, tensors: list[tf.Tensor], blocks: _Blocks
    ) -> list[tf.Tensor]:
        matrices = tf.stack([tf.reshape(x, blocks.sides) for x in tensors])
        cut = blocks.cut(matrices)
        made = blocks.joined(nearly_orthogonal(cut, self.iterations, blocks.is_tall))
        return [
            tf.reshape(x, tensor.shape)
            for x, tensor in zip(tf.unstack(made), tensors, strict=True)
        ]
