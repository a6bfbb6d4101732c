"""Keras's loss scaling, which `compile` puts around an optimizer under float16."""

import keras


def inner_optimizer(optimizer: keras.optimizers.Optimizer):
    """The optimizer itself, whether or not Keras's `LossScaleOptimizer` is around it.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> optimizer = FuzzyHess()
    >>> inner_optimizer(keras.optimizers.LossScaleOptimizer(optimizer)) is optimizer
    True
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer
