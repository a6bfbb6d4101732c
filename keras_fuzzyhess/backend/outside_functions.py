"""Variables that are made while a function is being traced."""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf


@contextlib.contextmanager
def outside_functions() -> Iterator[None]:
    """Creates variables as if no function was being traced.

    A function that creates variables is traced twice, and if it fails the first time,
    TensorFlow silently runs nothing in its place from then on.

    Example:

    >>> @tf.function
    ... def step():
    ...     with outside_functions():
    ...         made = tf.Variable(1.0)
    ...         print(made.numpy().item())
    >>> step()
    1.0
    """
    with tf.init_scope(), tf.variable_creator_scope(_outside_functions):
        yield


def _outside_functions(next_creator: Callable, **kwargs) -> tf.Variable:
    return next_creator(**kwargs | {"experimental_enable_variable_lifting": False})
