"""Optimizers that a model has as attributes, which `fit` does not tell that it ends."""

import warnings

import keras

from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.stepping_model import stepping_model


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The compiled optimizer, then those of the model's attributes, each once.

    Lists, tuples and dicts are looked through; of Keras's `LossScaleOptimizer` it is
    the optimizer inside.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd")
    >>> model.own = [keras.optimizers.Adam()]
    >>> [type(optimizer).__name__ for optimizer in optimizers_of(model)]
    ['SGD', 'Adam']
    """
    values = [getattr(model, "optimizer", None), *vars(model).values()]
    found: list[keras.optimizers.Optimizer] = []
    for value in values:
        inside = value.values() if isinstance(value, dict) else value
        for each in inside if isinstance(value, dict | list | tuple) else [value]:
            if isinstance(each, keras.optimizers.Optimizer):
                optimizer = inner_optimizer(each)
                if not any(optimizer is other for other in found):
                    found.append(optimizer)
    return found


class OwnOptimizerWarning:
    """Tells once that `fit` does not end with the averages of an optimizer.

    Nothing tells an optimizer whose it is, but Python's stack while its step is traced.

    Attributes:
        is_settled: Whether someone puts the averages in, so that there is nothing to
            tell.
    """

    def __init__(self) -> None:
        self.is_settled = self._is_told = False

    def __call__(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Warns if a `train_step` calls it whose model is compiled with another.

        Args:
            optimizer: A `keras.optimizers.Optimizer` with `use_ema=True`.
        """
        is_due = not (self.is_settled or self._is_told)
        model = stepping_model() if is_due else None
        compiled = getattr(model, "optimizer", None)
        if compiled is None or inner_optimizer(compiled) is optimizer:
            return
        self._is_told = True
        name = type(optimizer).__name__
        warnings.warn(
            f"`{type(model).__name__}` is not compiled with this {name}, so `fit` ends "
            "without its averaged weights. Add `keras_fuzzyhess.AveragesInValidation()`"
            " to the callbacks of `fit`, which puts them in; or call "
            "`optimizer.finalize_variable_values(variables)` after it; or make the "
            f"optimizer with `{name}(use_ema=False)`, for which `fit` is right as it "
            "is.",
            stacklevel=2,
        )
