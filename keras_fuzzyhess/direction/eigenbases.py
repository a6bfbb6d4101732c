"""Bases in which squares of gradients, and the Hessian, are nearer to diagonal."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_fuzzyhess.arguments import check_between, check_integer, check_momentum
from keras_fuzzyhess.backend.replicas import cond_in_every_replica
from keras_fuzzyhess.parts import Part, Step
from keras_fuzzyhess.state.matrices import kernel_sides, matrix_sides
from keras_fuzzyhess.state.packing import PackedState, Packing, specs_of

INERTIA = 4e-3
"""Of each old vector so much goes into the new one, as a share of its length. Without,
where gradients have shown few directions yet, rounding alone would decide which vectors
stand for the others. Our choice: ten times as much slows the way to the
eigenvectors of small eigenvalues."""

EARLY = 4
"""In the first steps all bases are moved, for they begin as no more than axes. Our
choice."""


def moved_basis(
    basis: tf.Tensor,
    eigenvalues: tf.Tensor,
    product: tf.Tensor,
    momentum: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One step of orthogonal iteration towards the eigenvectors of an average.

    ```
    M  <- momentum M + (1 - momentum) G G'
    Q' R = M Q + Q diag(0.004 |M Q| + 1e-6 |M|) ,    Q <- Q'
    ```

    with `|M Q|` the lengths of the columns. So it is in SOAP (arXiv 2409.11321), but
    for the second summand, and that of `M` nothing is kept besides its
    eigenvalues: `M Q` is taken for `Q diag(eigenvalues)`, which it is where `Q` has its
    eigenvectors. Thus there is no second matrix, and no product for it in other steps.

    Args:
        basis: Matrix `Q` with orthonormal columns.
        eigenvalues: Vector, those of `M` that belong to them; not negative.
        product: Matrix `G G' Q`, with the matrix `G` of this step.
        momentum: Float in [0, 1).

    Returns:
        Tuple of a matrix with orthonormal columns and a vector, `Q` and what `R` tells
        of the eigenvalues; as they were if all is zero.

    Example:

    >>> square = tf.constant([[2.0, 1.0], [1.0, 2.0]])
    >>> basis, values = tf.eye(2), tf.zeros(2)
    >>> for _ in range(20):
    ...     basis, values = moved_basis(basis, values, square @ basis, 0.5)
    >>> values.numpy().round(3).tolist()
    [3.0, 1.0]
    """
    average = momentum * basis * eigenvalues + (1 - momentum) * product
    size = tf.reduce_max(tf.abs(average))  # no squares, for these overflow
    relative = tf.math.divide_no_nan(average, size)
    columns = tf.norm(relative, axis=0)
    # What has no gradient at all keeps its basis; the sum has a full rank.
    kept = INERTIA * columns + 1e-6 * tf.norm(columns)
    q, r = tf.linalg.qr(relative + kept * basis)
    values = tf.linalg.diag_part(r)
    # Either sign of a column is right; the old one is kept.
    q *= tf.where(values < 0, -tf.ones_like(values), tf.ones_like(values))
    found = size * tf.maximum(tf.abs(values) - kept, 0)
    is_measured = (size > 0) & tf.math.is_finite(size)
    return (
        tf.where(is_measured, q, basis),
        tf.where(is_measured, found, eigenvalues),
    )


def interval_at(step: tf.Tensor, interval: int, thinning: float) -> tf.Tensor:
    """`interval`, doubled after `thinning (2**n - 1)` steps for every positive `n`.

    At most a thousandfold.

    Example:

    >>> [int(interval_at(tf.constant(n), 5, 100.0)) for n in (99, 100, 299, 300)]
    [5, 10, 10, 20]
    """
    # A little more, for logarithms are rounded.
    ratio = 1 + (tf.cast(step, tf.float32) + 1e-3) / thinning
    level = tf.minimum(tf.floor(tf.math.log(ratio) / math.log(2)), 10.0)
    return interval * tf.cast(2.0**level, tf.int32)


def _turned_along(axis: int, x: tf.Tensor, q: tf.Tensor, into: bool) -> tf.Tensor:
    """Kernels, window by inputs by outputs, times the bases of one axis.

    As products of matrices, for `tf.einsum` transposes first, which takes longer. A
    single kernel is multiplied as a matrix: batches of one take longer on a CPU.
    """
    if axis and x.shape[0] == x.shape[1] == 1:
        if axis == 2:
            return tf.matmul(x[0, 0], q[0], transpose_b=not into)[
                tf.newaxis, tf.newaxis
            ]
        return tf.matmul(q[0], x[0, 0], transpose_a=into)[tf.newaxis, tf.newaxis]
    if axis == 2:
        return tf.matmul(x, q[:, tf.newaxis], transpose_b=not into)
    if axis == 1:
        return tf.matmul(q[:, tf.newaxis], x, transpose_a=into)
    count, window, inputs, outputs = x.shape
    flat = tf.reshape(x, [count, window, inputs * outputs])
    return tf.reshape(tf.matmul(q, flat, transpose_a=into), x.shape)


class _Basis(NamedTuple):
    """The basis of one axis of a kernel, and the eigenvalues that belong to it."""

    vectors: keras.Variable
    eigenvalues: keras.Variable

    def moved(self, matrix: tf.Tensor, momentum: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Both, by the gradient as a matrix with a row for each place on the axis."""
        basis = self.vectors.value
        product = tf.matmul(matrix, tf.matmul(matrix, basis, transpose_a=True))
        return moved_basis(basis, self.eigenvalues.value, product, momentum)


@keras.saving.register_keras_serializable(package="keras_fuzzyhess")
@dataclasses.dataclass(eq=False)
class Eigenbases(Part):
    """Orthogonal bases of the axes of kernels that are not too large.

    Of a matrix of gradients `G`, the eigenvectors of averages of `G G'` and `G' G`,
    Shampoo's statistics. In these bases, `Q_L' G Q_R`, the squares of gradients (EKFAC,
    arXiv 1806.03884; SOAP, arXiv 2409.11321) and the Hessian are nearer to diagonal
    than along the axes.

    A kernel of a convolution has three axes, its window, inputs and outputs, and a
    basis for each. So has any weight of more than two axes (`state/matrices.py`): all
    axes but the last two count as one. Weights that are no matrices have no bases.

    To turn a kernel with sides `w`, `a` and `b` takes `w + a + b` multiplications for
    each element, in each way. The state is `w**2 + a**2 + b**2` numbers and `w + a + b`
    more.

    Args:
        longest_side: Integer of at least 2: a kernel with a longer axis has no bases.
            Defaults to `256`, our choice.
        largest_size: Float of at least 2: nor has one whose bases together would have
            more than so many numbers for each element of it. Defaults to `4.5`, our
            choice: a matrix that is four times as long as wide has 4.25.
        interval: Positive integer: a weight's bases are moved every so many steps, the
            weights in turn; in the first four steps all are, and those that have seen
            no gradient before. Defaults to `5`, our choice (SOAP: 10).
        thinning: Float of at least 1, number of steps after which bases are moved half
            as often; after three times as many a quarter as often, and so on. Defaults
            to `25.0`, our choice: what gradients have in common changes ever more
            slowly, and moving bases takes as long as all else of the step.
        momentum: Float in [0, 1), how much of the averages of `G G'` and `G' G` stays
            when bases are moved. Defaults to `0.6`, our choice: the less often they
            move, the less of what was before should stay.

    Raises:
        ValueError: if a constant is out of its range.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> weights, add = [tf.zeros((3, 2))], FuzzyHess().add_variable
    >>> bases, momentum = Eigenbases(), PackedState(weights, add, "momentum")
    >>> bases.build(weights, add)
    >>> gradient = [tf.constant([3.0, 1.0, 3.0, 1.0, 0.0, 0.0])]
    >>> for number in range(4):
    ...     bases.move(gradient, Step(tf.constant(number), [0]), momentum)
    >>> inside = bases.into(gradient, [0])
    >>> abs(inside[0]).numpy().round(2)  # a matrix of rank one
    array([4.47, 0.  , 0.  , 0.  , 0.  , 0.  ], dtype=float32)
    >>> abs(bases.out_of(inside, [0])[0]).numpy().round(2)
    array([3., 1., 3., 1., 0., 0.], dtype=float32)
    """

    longest_side: int = 256
    largest_size: float = 4.5
    interval: int = 5
    thinning: float = 25.0
    momentum: float = 0.6

    def __post_init__(self) -> None:
        self.longest_side = check_integer("longest_side", self.longest_side, 2)
        self.largest_size = check_between("largest_size", self.largest_size, 2, 1e12)
        self.interval = check_integer("interval", self.interval, 1)
        self.thinning = check_between("thinning", self.thinning, 1, 1e9)
        self.momentum = check_momentum("momentum", self.momentum)

    def build(self, weights: Sequence[tf.Variable], add: Callable) -> None:
        """Creates the bases, the axes, and the eigenvalues, zeros."""
        self._specs = specs_of(weights)
        self._bases: dict[int, list[_Basis | None]] = {}
        identity = keras.initializers.Identity()
        for i, spec in enumerate(self._specs):
            if self.turns(spec):
                dtype, turn = spec.dtype.name, len(self._bases)
                self._bases[i] = [
                    _Basis(
                        add((side, side), identity, dtype, name=f"basis_{turn}_{n}"),
                        add((side,), "zeros", dtype, name=f"eigenvalues_{turn}_{n}"),
                    )
                    if side > 1
                    else None
                    for n, side in enumerate(kernel_sides(spec.shape))
                ]

    def turns(self, weight: tf.Variable | tf.TensorSpec) -> bool:
        """Whether a weight has bases."""
        if matrix_sides(weight.shape) is None:
            return False
        sides = kernel_sides(weight.shape)
        if max(sides) > self.longest_side:
            return False
        size = sum(side**2 for side in sides if side > 1)
        return size <= self.largest_size * math.prod(sides)

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
        for (sides, _), places in self._alike(indices).items():
            x = tf.stack([tf.reshape(tensors[n], sides) for n in places])
            for axis in range(3):
                bases = [self._bases[indices[n]][axis] for n in places]
                if q := [basis.vectors.value for basis in bases if basis is not None]:
                    x = _turned_along(axis, x, tf.stack(q), into)
            for n, kernel in zip(places, tf.unstack(x), strict=True):
                tensors[n] = tf.reshape(kernel, tensors[n].shape)
        return packing.pack(tensors)

    def _alike(self, indices: Sequence[int]) -> dict[tuple, list[int]]:
        """Places of kernels by sides and dtype: those alike are turned at once."""
        places: dict[tuple, list[int]] = {}
        for n, i in enumerate(indices):
            if i in self._bases:
                spec = self._specs[i]
                key = kernel_sides(spec.shape), spec.dtype
                places.setdefault(key, []).append(n)
        return places

    def move(
        self, gradients: Sequence[tf.Tensor], step: Step, kept: PackedState
    ) -> None:
        """Moves the bases that are due, and turns what is kept in them along.

        Args:
            gradients: List of packed vectors, those of the step along the axes.
            step: `Step`.
            kept: Averages of vectors in these bases, as a momentum.
        """
        packing = Packing([self._specs[i] for i in step.indices])
        number = tf.cast(step.number, tf.int32)
        interval = interval_at(number, self.interval, self.thinning)
        turns = {i: turn for turn, i in enumerate(self._bases)}
        due = {
            i: tf.equal((number + turns[i]) % interval, 0)
            | (number < EARLY)
            | self._is_new(i)
            for i in step.indices
            if i in self._bases
        }
        if not due:
            return

        def move_due():
            of_step = packing.unpack(gradients)
            tensors = packing.unpack(kept.read(step.indices))
            for n, i in enumerate(step.indices):
                if i in due:
                    tensors[n] = self._move_if(due[i], i, of_step[n], tensors[n])
            kept.assign(packing.pack(tensors), step.indices)

        # One branch around those of the weights: in a small network mostly none is due.
        is_any = tf.reduce_any(tf.stack(list(due.values())))
        cond_in_every_replica(is_any, move_due, lambda: None)

    def _is_new(self, index: int) -> tf.Tensor:
        """Whether a weight has had no gradient before; all its axes move together."""
        eigenvalues = next(b for b in self._bases[index] if b is not None).eigenvalues
        return tf.reduce_all(eigenvalues.value <= 0)

    def _move_if(
        self, is_due: tf.Tensor, index: int, gradient: tf.Tensor, kept: tf.Tensor
    ) -> tf.Tensor:
        """Moves all bases of a weight; returns what is kept in them, turned along."""
        kernel = tf.reshape(gradient, kernel_sides(gradient.shape))
        bases = {
            axis: basis
            for axis, basis in enumerate(self._bases[index])
            if basis is not None
        }

        def moved():
            after, turned = [], tf.reshape(kept, [1, *kernel.shape])
            for axis, basis in bases.items():
                order = [axis, *(other for other in range(3) if other != axis)]
                rows = tf.reshape(tf.transpose(kernel, order), [kernel.shape[axis], -1])
                vectors, eigenvalues = basis.moved(rows, self.momentum)
                after += [vectors, eigenvalues]
                way = tf.matmul(basis.vectors.value, vectors, transpose_a=True)
                turned = _turned_along(axis, turned, way[tf.newaxis], into=True)
            return [*after, tf.reshape(turned, kept.shape)]

        variables = [variable for basis in bases.values() for variable in basis]
        before = [*(variable.value for variable in variables), kept]
        *after, turned = tf.cond(
            is_due, moved, lambda: [tf.identity(x) for x in before]
        )
        for variable, value in zip(variables, after, strict=True):
            variable.assign(value)
        return turned
