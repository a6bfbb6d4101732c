"""Bases in which squares of gradients, and the Hessian, are nearer to diagonal."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_integer, check_momentum
from keras_fuzzyhess.parts import Part, Step
from keras_fuzzyhess.state.matrices import block_lengths, matrix_sides
from keras_fuzzyhess.state.moving_average import mix
from keras_fuzzyhess.state.packing import Packing, specs_of

EARLY = 4
"""In the first steps all bases are moved, for they begin as no more than axes. Our
choice."""


def moved_basis(moment: tf.Tensor, basis: tf.Tensor) -> tf.Tensor:
    """One step of orthogonal iteration towards the eigenvectors of a matrix.

    `Q <- qr(M Q)`, as in SOAP (arXiv 2409.11321).

    Args:
        moment: Symmetric matrix `M` without negative eigenvalues.
        basis: Matrix `Q` with orthonormal columns.

    Returns:
        Matrix with orthonormal columns; the basis as it was if `M` is zero.

    Example:

    >>> moment = tf.constant([[2.0, 1.0], [1.0, 2.0]])
    >>> basis = tf.eye(2)
    >>> for _ in range(20):
    ...     basis = moved_basis(moment, basis)
    >>> diagonal = tf.transpose(basis) @ moment @ basis
    >>> diagonal.numpy().round(3).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    trace = tf.linalg.trace(moment)
    # What has no gradient at all keeps its basis; the sum has a full rank.
    relative = tf.math.divide_no_nan(moment, trace) + 1e-6 * tf.eye(
        moment.shape[0], dtype=moment.dtype
    )
    q, r = tf.linalg.qr(tf.matmul(relative, basis))
    # Either sign of a column is right; the old one is kept.
    signs = tf.where(tf.linalg.diag_part(r) < 0, -1.0, 1.0)
    return tf.where(trace > 0, q * tf.cast(signs, q.dtype), basis)


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Eigenbases(Part):
    """Orthogonal bases of both sides of every matrix.

    Of a matrix of gradients `G`, the eigenvectors of the averages of `G G'` and `G' G`,
    Shampoo's statistics. In these bases, `Q_L' G Q_R`, the squares of gradients (EKFAC,
    arXiv 1806.03884; SOAP, arXiv 2409.11321) and the Hessian are nearer to diagonal
    than along the axes.

    A side of more than `longest_side` is cut into nearly equal blocks, each with a
    basis of its own; one of more than eight times that, as an embedding's words, stays
    as it is. So do weights that are no matrices (`state/matrices.py`). The state is two
    square matrices for each block.

    Args:
        longest_side: Integer of at least 2. Defaults to `256`, our choice.
        interval: Positive integer: a weight's bases are moved every so many steps, the
            weights in turn, and in the first four steps all. Defaults to `10` (SOAP's).
        momentum: Float in [0, 1), of the averages of `G G'` and `G' G`. Defaults to
            `0.95` (SOAP's).

    Raises:
        ValueError: if a constant is out of its range.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> bases, gradient = Eigenbases(), [tf.constant([3.0, 1.0, 3.0, 1.0, 0.0, 0.0])]
    >>> bases.build([tf.zeros((3, 2))], FuzzyHess().add_variable)
    >>> for number in range(4):
    ...     bases.move(gradient, Step(tf.constant(number), [0]))
    >>> inside = bases.into(gradient, [0])
    >>> abs(inside[0]).numpy().round(2)  # a matrix of rank one
    array([4.47, 0.  , 0.  , 0.  , 0.  , 0.  ], dtype=float32)
    >>> abs(bases.out_of(inside, [0])[0]).numpy().round(2)
    array([3., 1., 3., 1., 0., 0.], dtype=float32)
    """

    longest_side: int = 256
    interval: int = 10
    momentum: float = 0.95

    def __post_init__(self) -> None:
        self.longest_side = check_integer("longest_side", self.longest_side, 2)
        self.interval = check_integer("interval", self.interval, 1)
        self.momentum = check_momentum("momentum", self.momentum)

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the averages, zeros, and the bases, the axes."""
        self._specs = specs_of(weights)
        self._sides: list[list[_Side]] = []
        for spec in self._specs:
            lengths = matrix_sides(spec.shape) or ()
            self._sides.append(
                [
                    _Side(length, self.longest_side, spec.dtype, add)
                    for length in lengths
                ]
            )

    def into(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """Packed vectors of some weights in their bases, `Q_L' X Q_R`."""
        return self._turned(vectors, indices, into=True)

    def out_of(
        self, vectors: Sequence[tf.Tensor], indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """The way back, `Q_L X Q_R'`."""
        return self._turned(vectors, indices, into=False)

    def _turned(self, vectors, indices, into: bool) -> list[tf.Tensor]:
        packing = Packing([self._specs[i] for i in indices])
        tensors = packing.unpack(vectors)
        for place, i in enumerate(indices):
            if self._sides[i]:
                left, right = self._sides[i]
                shape = tensors[place].shape
                x = tf.reshape(tensors[place], matrix_sides(shape))
                x = right.turned(left.turned(x, 0, into), 1, into)
                tensors[place] = tf.reshape(x, shape)
        return packing.pack(tensors)

    def move(self, gradients: Sequence[tf.Tensor], step: Step) -> None:
        """Takes the packed gradients of a step into the averages, and moves bases."""
        packing = Packing([self._specs[i] for i in step.indices])
        number = tf.cast(step.number, tf.int32)
        for i, gradient in zip(step.indices, packing.unpack(gradients), strict=True):
            if self._sides[i]:
                is_due = tf.equal((number + i) % self.interval, 0) | (number < EARLY)
                matrix = tf.reshape(gradient, matrix_sides(gradient.shape))
                for axis, side in enumerate(self._sides[i]):
                    side.average(matrix, axis, self.momentum)
                _move_if_due(self._sides[i], is_due)


class _Side:
    """The bases of a matrix's rows, or of its columns."""

    def __init__(self, length: int, longest: int, dtype, add: Callable) -> None:
        is_turned = length <= 8 * longest
        self._lengths = block_lengths(length, longest) if is_turned else []
        self.blocks = [
            (
                add((n, n), "zeros", dtype.name, name="second_moment"),
                add((n, n), keras.initializers.Identity(), dtype.name, name="basis"),
            )
            for n in self._lengths
        ]

    def turned(self, matrix: tf.Tensor, axis: int, into: bool) -> tf.Tensor:
        """A matrix whose rows or columns are turned."""
        bases = [basis.value for _, basis in self.blocks]
        if not bases:
            return matrix
        parts = tf.split(matrix, self._lengths, axis)
        if axis == 0:
            turned = [
                tf.matmul(q, x, transpose_a=into)
                for q, x in zip(bases, parts, strict=True)
            ]
        else:
            turned = [
                tf.matmul(x, q, transpose_b=not into)
                for q, x in zip(bases, parts, strict=True)
            ]
        return turned[0] if len(turned) == 1 else tf.concat(turned, axis)

    def average(self, matrix: tf.Tensor, axis: int, momentum: float) -> None:
        """Takes a gradient into the averages.

        Without a bias correction, for bases do not depend on the size of the average.
        """
        parts = tf.split(matrix, self._lengths, axis) if self.blocks else []
        for part, (moment, _) in zip(parts, self.blocks, strict=True):
            square = tf.matmul(part, part, transpose_a=axis == 1, transpose_b=axis == 0)
            moment.assign(mix(moment.value, square, 1 - momentum))


def _move_if_due(sides: Sequence[_Side], is_due: tf.Tensor) -> None:
    """Moves all bases of a weight, in one branch: a graph has one for each weight."""
    blocks = [block for side in sides for block in side.blocks]
    if not blocks:
        return
    moments, bases = zip(*((m.value, b.value) for m, b in blocks), strict=True)
    moved = tf.cond(
        is_due,
        lambda: [moved_basis(m, b) for m, b in zip(moments, bases, strict=True)],
        lambda: [tf.identity(b) for b in bases],
    )
    for (_, basis), after in zip(blocks, moved, strict=True):
        basis.assign(after)
