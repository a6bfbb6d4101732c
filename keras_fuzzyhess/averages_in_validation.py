"""Averaged weights in the model for a while, as for the validation inside `fit`."""

import contextlib
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import keras

_with_averages: weakref.WeakSet[keras.Model] = weakref.WeakSet()


@contextlib.contextmanager
def averages_in(model: keras.Model) -> Iterator[None]:
    """Puts the averages of `use_ema` in the place of the weights, and the weights back.

    For what is to see or save the averages during a training. The weights are kept as a
    copy meanwhile, so that it goes on from them to the bit. Without `use_ema`, before
    the first step, and where the averages are in the model already, nothing changes.

    Args:
        model: A compiled `keras.Model`.

    Example:

    >>> from keras_fuzzyhess import FuzzyHess, averages_in
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> x = keras.ops.ones((4, 1))
    >>> losses = [model.train_on_batch(x, x) for _ in range(3)]
    >>> weights = model.get_weights()
    >>> with averages_in(model):
    ...     averages = model.get_weights()
    >>> bool(averages[0] != weights[0]), bool(model.get_weights()[0] == weights[0])
    (True, True)
    """
    if model in _with_averages:
        yield
        return
    variables = model.trainable_variables
    weights = [keras.ops.convert_to_numpy(variable) for variable in variables]
    _install_averages(model.optimizer, variables)
    _with_averages.add(model)
    try:
        yield
    finally:
        _with_averages.remove(model)
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)


class AveragesInValidation(keras.callbacks.Callback):
    """Validates the averaged weights, which are what `fit` leaves in the end.

    For the validation inside `fit`, with any optimizer that has `use_ema`. The training
    goes on as without it, to the bit; Keras's `SwapEMAWeights` swaps weights and
    averages by additions, which round. Callbacks that save the model at the end of an
    epoch see the weights, not their averages.

    Example:

    >>> from keras_fuzzyhess import AveragesInValidation, FuzzyHess
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
        self._validation = contextlib.ExitStack()
        self._validation.enter_context(averages_in(self.model))

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again."""
        self._validation.close()


def _install_averages(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
) -> None:
    # Those of this package start a new average when a training ends.
    install = getattr(optimizer, "install_averages", optimizer.finalize_variable_values)
    install(variables)
