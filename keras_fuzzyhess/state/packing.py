"""Weights packed into fewer vectors: a network has hundreds, most of them short.

What an optimizer does with each weight costs operations per weight: time to trace, to
optimize and to start them, and memory for the graph. So short weights are joined to
vectors, and what is done is done to each vector. Long weights are vectors of their own:
they are worth the operations, and joining them would copy most of the network.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.backend.in_place import move_average
from keras_fuzzyhess.state.moving_average import moved_average

LONG = 2**15
"""Number of elements that joined weights have together at most. Our choice: XLA splits
longer concatenations among the threads of a CPU, and then computes them many times more
slowly, for it runs each short weight through masked loops as long as the whole."""


def specs_of(variables: Sequence[tf.Variable]) -> list[tf.TensorSpec]:
    """Shapes and dtypes of weights, without the weights.

    Example:

    >>> specs_of([tf.zeros((2, 3))])[0].shape.as_list()
    [2, 3]
    """
    return [tf.TensorSpec(v.shape, tf.as_dtype(v.dtype)) for v in variables]


class Packing:
    """Turns a list of tensors, one for each weight, into fewer vectors and back.

    A weight of at least `2**15` elements becomes a vector of its own. Shorter ones of
    the same dtype are joined, in their order, to vectors of at most that length.

    Args:
        variables: List of weights, whose shapes and dtypes the tensors have.

    Attributes:
        members: For each vector the list of indices of the weights in it.
        dtypes: The dtype of each vector.

    Example:

    >>> packing = Packing([tf.zeros((2, 2)), tf.zeros(1)])
    >>> vectors = packing.pack([tf.constant([[1.0, 2.0], [3.0, 4.0]]), [5.0]])
    >>> vectors[0].numpy().tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0]
    >>> [tensor.numpy().tolist() for tensor in packing.unpack(vectors)]
    [[[1.0, 2.0], [3.0, 4.0]], [5.0]]
    """

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self._shapes = [tf.TensorShape(v.shape) for v in variables]
        self._sizes = [shape.num_elements() for shape in self._shapes]
        dtypes = [tf.as_dtype(v.dtype) for v in variables]
        self.members = _members(self._sizes, dtypes)
        self.dtypes = [dtypes[members[0]] for members in self.members]

    @property
    def lengths(self) -> list[int]:
        """Number of elements of each vector."""
        return [sum(self._sizes[i] for i in members) for members in self.members]

    def pack(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The vectors, from a tensor for each weight."""
        flat = tf.constant([-1])  # once for all, for a graph has a node for each
        return [
            _joined(
                [
                    tensors[i]
                    if self._shapes[i].rank == 1
                    else tf.reshape(tensors[i], flat)
                    for i in members
                ]
            )
            for members in self.members
        ]

    def unpack(self, vectors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """A tensor for each weight, from the vectors."""
        tensors: dict[int, tf.Tensor] = {}
        shapes = {
            tuple(shape): tf.constant(tuple(shape), tf.int32)
            for shape in self._shapes
            if shape.rank != 1
        }
        for members, vector in zip(self.members, vectors, strict=True):
            pieces = _split(vector, [self._sizes[i] for i in members])
            for i, piece in zip(members, pieces, strict=True):
                shape = self._shapes[i]
                tensors[i] = (
                    piece
                    if shape.rank == 1
                    else tf.reshape(piece, shapes[tuple(shape)])
                )
        return [tensors[i] for i in range(len(self._shapes))]

    def packed(self, gradients_at: Callable) -> Callable:
        """`gradients_at` with shifts and gradients packed."""

        def packed_gradients_at(shifts):
            gradients, loss = gradients_at(self.unpack(shifts))
            return self.pack(gradients), loss

        return packed_gradients_at


def _members(sizes: Sequence[int], dtypes: Sequence[tf.DType]) -> list[list[int]]:
    """For each vector the indices of the weights in it."""
    vectors: list[list[int]] = []
    unfilled: dict[tf.DType, list[int]] = {}
    for i, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True)):
        members = unfilled.get(dtype)
        if size >= LONG:
            vectors.append([i])
        elif members and sum(sizes[j] for j in members) + size <= LONG:
            members.append(i)
        else:
            unfilled[dtype] = [i]
            vectors.append(unfilled[dtype])
    return vectors


def _joined(pieces: list[tf.Tensor]) -> tf.Tensor:
    return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=0)


def _split(vector: tf.Tensor, sizes: list[int]) -> list[tf.Tensor]:
    return [vector] if len(sizes) == 1 else tf.split(vector, sizes)


def map_joined(
    function: Callable[..., tf.Tensor], *lists: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """`map` of a function that acts element by element, on short tensors joined.

    Args:
        function: Callable that takes a vector of each list and returns one as long.
        *lists: Lists of tensors, of the same shapes and dtypes.

    Returns:
        List of tensors of these shapes.

    Example:

    >>> roots = map_joined(tf.sqrt, [tf.constant([4.0, 9.0]), tf.constant([1.0])])
    >>> [root.numpy().tolist() for root in roots]
    [[2.0, 3.0], [1.0]]
    """
    packing = Packing(lists[0])
    packed = [packing.pack(tensors) for tensors in lists]
    return packing.unpack([function(*vectors) for vectors in zip(*packed, strict=True)])


def native_variable(variable: keras.Variable | tf.Variable) -> tf.Variable:
    """TensorFlow's own variable of a weight that Keras may have wrapped.

    Example:

    >>> native_variable(keras.Variable([1.0])).numpy().tolist()
    [1.0]
    """
    return variable.value if isinstance(variable, keras.Variable) else variable


class PackedState:
    """A number kept for each element of the weights, as part of an optimizer's state.

    Args:
        variables: List of all weights that will ever be trained.
        add_variable: Callable `(shape, dtype, name) -> keras.Variable`.
        name: String, the name of the variables.

    Example:

    >>> weights = [tf.Variable([1.0, 2.0]), tf.Variable([3.0])]
    >>> def add_variable(shape, dtype, name):
    ...     return keras.Variable(tf.zeros(shape), dtype=dtype, name=name)
    >>> state = PackedState(weights, add_variable, "momentum")
    >>> state.assign([tf.constant([5.0])], [1])
    >>> state.read([0, 1])[0].numpy().tolist()
    [0.0, 0.0, 5.0]
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        add_variable: Callable[..., keras.Variable],
        name: str,
    ) -> None:
        self._packing = Packing(variables)
        self._vectors: list[keras.Variable] = [
            add_variable(shape=(length,), dtype=dtype.name, name=name)
            for length, dtype in zip(
                self._packing.lengths, self._packing.dtypes, strict=True
            )
        ]
        self._count = len(variables)

    def read(self, indices: Sequence[int]) -> list[tf.Tensor]:
        """The state of some of the weights, packed."""
        vectors = [vector.value for vector in self._vectors]
        if self._is_all(indices):
            return vectors
        chosen = [self._packing.unpack(vectors)[i] for i in indices]
        return Packing(chosen).pack(chosen)

    def move(
        self, values: Sequence[tf.Tensor], rate: tf.Tensor, indices: Sequence[int]
    ) -> list[tf.Tensor]:
        """Averages packed values in, by `rate`; returns the state with them."""
        if self._is_all(indices):
            for vector, value in zip(self._vectors, values, strict=True):
                move_average(vector.value, value, rate)
        else:
            self.assign(moved_average(self.read(indices), values, rate), indices)
        return self.read(indices)

    def assign(self, vectors: Sequence[tf.Tensor], indices: Sequence[int]) -> None:
        """Sets the state of some of the weights, packed; the others keep theirs."""
        if not self._is_all(indices):
            tensors = self._packing.unpack([vector.value for vector in self._vectors])
            chosen = Packing([tensors[i] for i in indices])
            for i, tensor in zip(indices, chosen.unpack(vectors), strict=True):
                tensors[i] = tensor
            vectors = self._packing.pack(tensors)
        for variable, vector in zip(self._vectors, vectors, strict=True):
            variable.assign(vector)

    def _is_all(self, indices: Sequence[int]) -> bool:
        return list(indices) == list(range(self._count))
