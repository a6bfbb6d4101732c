"""Optimizers are built as a whole or not at all, by subclasses as well."""

import functools
from collections.abc import Callable
from typing import Any


def whole_build(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A `build` that takes a loaded state in the end, and is taken back if it fails.

    Where the `build` of a subclass calls that of its base, this holds for the outer
    one: only then are all variables there that a saved state may have.

    Args:
        build: `build` of a `SecondGradientOptimizer`, as it is written.

    Returns:
        Callable of the same arguments, which does nothing where it is built.

    Example:

    >>> import keras
    >>> from keras_fuzzyhess import FuzzyHess
    >>> optimizer = FuzzyHess()
    >>> optimizer.build([keras.Variable([1, 2], dtype="int32")])
    Traceback (most recent call last):
        ...
    ValueError: FuzzyHess must train weights of dtype float32...
    >>> optimizer.built, [v.name for v in optimizer.variables]
    (False, ['iteration', 'learning_rate'])
    """

    @functools.wraps(build)
    def build_as_a_whole(optimizer: Any, variables: Any) -> None:
        if optimizer.built:
            return
        if type(optimizer).build is not build_as_a_whole:
            build(optimizer, variables)
            return
        before = optimizer.variables
        try:
            build(optimizer, variables)
            optimizer.take_loaded_state()
        except BaseException:
            optimizer.take_back_build(before)
            raise

    build_as_a_whole.is_whole = True  # type: ignore[attr-defined]
    return build_as_a_whole
