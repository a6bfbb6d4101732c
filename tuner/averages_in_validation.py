"""Validates the averaged weights, which are what `fit` leaves in the end."""

from collections.abc import Mapping
from typing import Any

import keras


class AveragesInValidation(keras.callbacks.Callback):
    """Puts the optimizer's averaged weights in for each validation inside `fit`.

    Keras's `SwapEMAWeights` does so by additions, which round the weights. This keeps a
    copy of them meanwhile, so that the training goes on as without it, to the bit.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> x, y = keras.ops.ones((8, 2)), keras.ops.ones((8, 1))
    >>> validated = model.fit(
    ...     x, y, epochs=2, validation_data=(x, y), verbose=0,
    ...     callbacks=[AveragesInValidation()],
    ... ).history["val_loss"][-1]
    >>> validated == model.evaluate(x, y, verbose=0)  # `fit` has left the averages
    True
    """

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights out, averages in."""
        variables = self.model.trainable_variables
        self._weights = [variable.numpy() for variable in variables]
        self.model.optimizer.finalize_variable_values(variables)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again."""
        for variable, weight in zip(
            self.model.trainable_variables, self._weights, strict=True
        ):
            variable.assign(weight)
