"""Averaged weights in the model for a while, as for the validation inside `fit`."""

import contextlib
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer
from keras_fuzzyhess.backend.own_optimizers import optimizers_of


class _Kept(NamedTuple):
    """What a model had before the averages were put in.

    Attributes:
        weights: For each variable its value.
        averages: For each the hash of what was put in its place.
        by: The callback that did it, None for `averages_in`.
    """

    weights: list[tuple[keras.Variable, np.ndarray]]
    averages: list[int]
    by: object


_with_averages: weakref.WeakKeyDictionary[keras.Model, _Kept] = (
    weakref.WeakKeyDictionary()
)


@contextlib.contextmanager
def averages_in(model: keras.Model) -> Iterator[None]:
    """Puts the averages of `use_ema` in the place of the weights, and the weights back.

    For what is to see or save the averages during a training. The weights are kept as a
    copy meanwhile, so that it goes on from them to the bit; what is set then stays.
    Without `use_ema`, before the first step, and where the averages are in the model
    already, nothing changes.

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
    if _still_in(model):
        yield
        return
    _put_in(model, by=None)
    try:
        yield
    finally:
        _put_back(model)


class AveragesInValidation(keras.callbacks.Callback):
    """Validates the averaged weights, which are what `fit` leaves in the end.

    For the validation inside `fit`, with any optimizer that has `use_ema`. The training
    goes on as without it, to the bit; Keras's `SwapEMAWeights` swaps weights and
    averages by additions, which round. At the end of an epoch the callbacks behind it
    see the averages: place `EarlyStopping` and `ModelCheckpoint` there, which then
    restore and save what was validated, and `BackupAndRestore` before it, for a
    training that is resumed must go on from the weights.

    It does the same for optimizers of this package that the model has as attributes, as
    GANs have two, and puts their averages in when `fit` ends, which does not know them.
    After an epoch any of them warns of skipped steps and of a loss that has diverged.

    After an interrupt the next `fit` with such a callback goes on from the weights.

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

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again, if a training before was interrupted."""
        self._weights_in()
        for optimizer in _own_optimizers(self.model):
            optimizer.finalized_by_a_callback(True)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again."""
        self._weights_in()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights out, averages in."""
        self._averages_in()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again."""
        kept = _with_averages.get(self.model)
        if kept is not None and kept.by is self:
            _put_back(self.model)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Averages in, for the callbacks behind this one; tells what is to be told."""
        self._averages_in()
        for optimizer in optimizers_of(self.model):
            if isinstance(optimizer, SecondGradientOptimizer):
                optimizer.warn_of_skipped_steps()
                optimizer.warn_of_divergence()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Nothing is put back: `fit` leaves the averages."""
        _with_averages.pop(self.model, None)
        for optimizer in _own_optimizers(self.model):
            optimizer.finalize_variable_values(optimizer.averaged_weights)
            optimizer.finalized_by_a_callback(False)

    def _averages_in(self) -> None:
        if not _still_in(self.model):
            self._weights_in()  # of an interrupted training, where they were not set
            _put_in(self.model, by=self)

    def _weights_in(self) -> None:
        if (kept := _with_averages.get(self.model)) is not None and kept.by is not None:
            _put_back(self.model)


def _still_in(model: keras.Model) -> bool:
    """Whether the model has the averages that were put in, and nothing else."""
    if (kept := _with_averages.get(model)) is None:
        return False
    return kept.averages == [_hash(variable) for variable, _ in kept.weights]


def _put_in(model: keras.Model, by: object) -> None:
    averaged = []
    compiled = inner_optimizer(getattr(model, "optimizer", None))
    if compiled is not None and compiled.use_ema:  # else it has none to put in
        averaged.append((compiled, model.trainable_variables))
    for own in _own_optimizers(model):
        averaged.append((own, own.averaged_weights))
    variables = [v for _, variables in averaged for v in variables]
    weights = [(v, v.numpy()) for v in variables]
    for optimizer, variables_of_it in averaged:
        # Optimizers of this package start a new average when a training ends.
        finalize = optimizer.finalize_variable_values
        getattr(optimizer, "install_averages", finalize)(variables_of_it)
    _with_averages[model] = _Kept(weights, [_hash(v) for v in variables], by)


def _own_optimizers(model: keras.Model) -> list[SecondGradientOptimizer]:
    """Those of this package that `fit` does not know."""
    compiled = inner_optimizer(getattr(model, "optimizer", None))
    return [
        optimizer
        for optimizer in optimizers_of(model)
        if isinstance(optimizer, SecondGradientOptimizer) and optimizer is not compiled
    ]


def _put_back(model: keras.Model) -> None:
    """Puts the weights back, but where others have been set since."""
    kept = _with_averages.pop(model, None)
    if kept is None:  # a `fit` has ended in between
        return
    for (variable, weight), average in zip(kept.weights, kept.averages, strict=True):
        if _hash(variable) == average:
            variable.assign(weight)


def _hash(variable: keras.Variable) -> int:
    return hash(variable.numpy().tobytes())
