"""What a source of images is, wherever they come from."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Encoded images with labels.

    Attributes:
        name: String, as given to `--data`.
        classes: Integer, labels are 0 to `classes - 1`.
        training_images: Integer.
        validation_images: Integer.
        encoded: Callable `(for_training, seed, context)` that gives a
            `tf.data.Dataset` of `(bytes, label)`: the share of the input pipeline
            `context`, a `tf.distribute.InputContext`. With an integer tensor `seed`
            the files are shuffled by it, with None the order is as stored.
    """

    name: str
    classes: int
    training_images: int
    validation_images: int
    encoded: Callable[..., tf.data.Dataset]
