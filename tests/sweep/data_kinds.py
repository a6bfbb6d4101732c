"""The same minibatches, handed to `fit` in each way that it takes data."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tests.sweep.places import BATCH


def arrays(x, y) -> dict:
    return {"x": x, "y": y, "batch_size": BATCH}


def dataset(x, y) -> dict:
    """The size of a minibatch is not known when the step is traced."""
    return {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)}


def generator(x, y) -> dict:
    """Its length is not known, and of its shapes what the first minibatches tell."""
    return {"x": (batch for batch in dataset(x, y)["x"])}


def unknown_shapes(x, y) -> dict:
    """Of the shapes only the ranks are known."""
    slices = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    signature = tf.nest.map_structure(
        lambda spec: tf.TensorSpec([None] * spec.shape.rank, spec.dtype),
        slices.element_spec,
    )
    generated = tf.data.Dataset.from_generator(
        lambda: iter(slices), output_signature=signature
    )
    return {"x": generated}


class _Rows(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.rows = x, y

    def __len__(self):
        return -(-len(self.rows[0]) // BATCH)

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return tuple(a[rows] for a in self.rows)


def py_dataset(x, y) -> dict:
    return {"x": _Rows(x, y)}


KINDS: dict[str, Callable[[np.ndarray, np.ndarray], dict]] = {
    "arrays": arrays,
    "dataset": dataset,
    "generator": generator,
    "unknown_shapes": unknown_shapes,
    "py_dataset": py_dataset,
}
