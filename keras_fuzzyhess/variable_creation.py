"""Variables that a function creates while it is traced."""

from collections.abc import Callable

import tensorflow as tf


def without_lifting(next_creator: Callable, **kwargs) -> tf.Variable:
    """Creates a variable as if no function was being traced.

    A function that creates variables is traced twice, and if it fails the first time,
    TensorFlow silently runs nothing in its place from then on.

    Args:
        next_creator: What `tf.variable_creator_scope` gives.
        **kwargs: Those of the variable.

    Example:

    >>> created = []
    >>> @tf.function
    ... def step():
    ...     if not created:
    ...         with tf.init_scope(), tf.variable_creator_scope(without_lifting):
    ...             created.append(tf.Variable(1.0))
    ...     return created[0] + 1.0
    >>> float(step())
    2.0
    """
    return next_creator(**kwargs | {"experimental_enable_variable_lifting": False})
