"""Averaged weights in the model for a while, as for the validation inside `fit`.

With them BatchNorm's moving statistics, without what is left in them of the past.
"""

import contextlib
import functools
import inspect
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_fuzzyhess.backend.kept_weights import KeptWeights
from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.moving_statistics import MovingStatistics
from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer
from keras_fuzzyhess.backend.own_optimizers import optimizers_of


@contextlib.contextmanager
def averages_in(model: keras.Model) -> Iterator[None]:
    """Puts the averages of `use_ema` in the place of the weights, and the weights back.

    For what is to see or save the averages during a training. The weights are kept as a
    copy meanwhile, so that it goes on from them to the bit. Weights that you set inside
    the `with` stay.
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
    if any(holder.averages_are_in for holder, _ in _averaged(model)):
        yield
        return
    _held_in.add(model)
    try:
        _put_in(model)
        yield
    finally:
        _held_in.discard(model)
        _put_back(model)


class AveragesInValidation(keras.callbacks.Callback):
    """Shows the averaged weights, with which `fit` ends, at the end of each epoch.

    Place it first. The validation of `fit` and all callbacks behind it see the averages
    at the end of an epoch: what is logged, what `ModelCheckpoint` saves, what
    `EarlyStopping` restores and what `fit` leaves are the same weights. For any
    optimizer that has `use_ema`.

    The training goes on as without it, to the bit, for the weights themselves are kept
    meanwhile. They are saved with the state of this package's optimizers: a file that
    `ModelCheckpoint` or `BackupAndRestore` has written holds the averages as the
    model's weights, and a `fit` with this callback goes on from the weights
    themselves. Without the callback it goes on from the averages.

    BatchNorm's moving statistics are shown without what is left in them of the past:
    of the zeros and ones that they started as, and, in functional models, of all before
    about the last epoch, if that has at least 20 minibatches and a fifth of
    `1 / (1 - momentum)` (our choice). The training goes on from the statistics
    themselves; what `fit` leaves is a new start.

    Where a callback behind it sets weights, these stay, and their average begins there.
    An interrupt leaves either the weights, in the middle of an epoch, or the averages,
    in the middle of a validation, each whole; the next `fit` with such a callback goes
    on from the weights.

    It does the same for optimizers of this package that the model has as attributes, as
    GANs have two, and puts their averages in when `fit` ends, which does not know them.
    After an epoch any of them warns of skipped steps and of a loss that has diverged.

    Raises:
        ValueError: when `fit` begins, if a callback that saves or restores weights is
            before it, if `SwapEMAWeights` is in the list, or if `BackupAndRestore` is
            behind it and the optimizer is not one of this package, whose states hold no
            weights.

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

    def __init__(self) -> None:
        super().__init__()
        self._has_put_in = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Checks the order, and puts weights in again that an interrupt has left."""
        _check_order(self)
        self._back()
        for optimizer in _own_optimizers(self.model):
            optimizer.finalized_by_a_callback(True)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again, those of a file that has been loaded among them."""
        self._back()
        _statistics(_averaged(self.model)).note(self.model)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights out, averages in."""
        self._has_put_in = _put_in(self.model)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Weights in again."""
        if self._has_put_in:
            self._back()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Averages in, for the callbacks behind this one; tells what is to be told."""
        _put_in(self.model)
        for optimizer in optimizers_of(self.model):
            if isinstance(optimizer, SecondGradientOptimizer):
                optimizer.warn_of_skipped_steps()
                optimizer.warn_of_divergence()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Nothing is put back: `fit` leaves the averages."""
        self._has_put_in = False
        for holder, _ in _averaged(self.model):
            holder.statistics.forget()
            if isinstance(holder, _KerasAverages):
                holder.leave_in()
        for optimizer in _own_optimizers(self.model):
            optimizer.finalize_variable_values(optimizer.averaged_weights)
            optimizer.finalized_by_a_callback(False)

    def _back(self) -> None:
        self._has_put_in = False
        if self.model not in _held_in:
            _put_back(self.model)


def _put_in(model: keras.Model) -> bool:
    """Averages in; whether any was not there before."""
    averaged, has_put_in = _averaged(model), False
    for holder, variables in averaged:
        if not holder.averages_are_in:
            holder.put_averages_in(variables)
            has_put_in = True
    return _statistics(averaged).put_in(model) or has_put_in


def _put_back(model: keras.Model) -> None:
    """Weights in, last the first: two optimizers may step the same weights."""
    averaged = _averaged(model)
    for holder, _ in reversed(averaged):
        holder.put_weights_back()
    _statistics(averaged).put_back()


class _KerasAverages:
    """What `SecondGradientOptimizer` does, for an optimizer of Keras."""

    def __init__(self, optimizer: keras.Optimizer) -> None:
        # Not the optimizer, which is the key under which this is kept.
        self._optimizer = weakref.ref(optimizer)
        self._kept = KeptWeights()
        self._left_in_at = 0
        self.statistics = MovingStatistics()

    @property
    def averages_are_in(self) -> bool:
        return self._kept.are_out

    def put_averages_in(self, variables: Sequence[keras.Variable]) -> None:
        optimizer, step = self._optimizer(), self._steps_taken()
        if optimizer is None or step == self._left_in_at:
            return  # no average before the first step, and none but those in the model
        finalize = functools.partial(optimizer.finalize_variable_values, variables)
        self._kept.replace(variables, finalize, step)

    def put_weights_back(self) -> None:
        self._kept.put_back()

    def leave_in(self) -> None:
        """What a training has ended with stays."""
        self._kept.forget()
        self._left_in_at = self._steps_taken()

    def _steps_taken(self) -> int:
        optimizer = self._optimizer()
        if optimizer is None or not optimizer.built:
            return 0
        return int(optimizer.iterations.numpy())


_Holder = SecondGradientOptimizer | _KerasAverages

_of_keras: weakref.WeakKeyDictionary[keras.Optimizer, _KerasAverages] = (
    weakref.WeakKeyDictionary()
)

_held_in: weakref.WeakSet[keras.Model] = weakref.WeakSet()
"""Models in which `averages_in` holds the averages."""


def _averaged(model: keras.Model) -> list[tuple[_Holder, list[keras.Variable]]]:
    """Who puts averages in a model, and in the place of which weights."""
    found: list[tuple[_Holder, list[keras.Variable]]] = []
    compiled = inner_optimizer(getattr(model, "optimizer", None))
    if compiled is not None and compiled.use_ema:  # else it has none to put in
        holder = compiled
        if not isinstance(compiled, SecondGradientOptimizer):
            holder = _of_keras.setdefault(compiled, _KerasAverages(compiled))
        found.append((holder, model.trainable_variables))
    for own in _own_optimizers(model):
        found.append((own, own.averaged_weights))
    return found


def _statistics(
    averaged: Sequence[tuple[_Holder, list[keras.Variable]]],
) -> MovingStatistics:
    """Those that the first optimizer keeps; where there is none, nothing is shown."""
    return averaged[0][0].statistics if averaged else MovingStatistics()


def _own_optimizers(model: keras.Model) -> list[SecondGradientOptimizer]:
    """Those of this package that `fit` does not know."""
    compiled = inner_optimizer(getattr(model, "optimizer", None))
    return [
        optimizer
        for optimizer in optimizers_of(model)
        if isinstance(optimizer, SecondGradientOptimizer) and optimizer is not compiled
    ]


def _check_order(callback: AveragesInValidation) -> None:
    """Raises a `ValueError` if a callback in the list of `fit` must be elsewhere."""
    averaged = _averaged(callback.model)
    if not averaged:
        return  # nothing is put in
    listed = _listed_with(callback)
    names = [type(each).__name__ for each in listed]
    received = f"Received: callbacks={names}."
    if any(isinstance(each, keras.callbacks.SwapEMAWeights) for each in listed):
        raise ValueError(
            "`AveragesInValidation` and `SwapEMAWeights` must not be used together: "
            f"both put the averages in the model. {received} Leave out "
            "`SwapEMAWeights`."
        )
    place = next((i for i, each in enumerate(listed) if each is callback), 0)
    early = [type(each).__name__ for each in listed[:place] if _sees_weights(each)]
    if early:
        raise ValueError(
            "`AveragesInValidation` must be before all callbacks that save or restore "
            "weights at the end of an epoch: before it they see weights that were not "
            f"validated. {received} Place `AveragesInValidation()` before "
            f"{' and '.join(f'`{name}`' for name in early)}."
        )
    backup = keras.callbacks.BackupAndRestore
    of_keras = [
        type(callback.model.optimizer).__name__
        for holder, _ in averaged
        if isinstance(holder, _KerasAverages)
    ]
    if of_keras and any(isinstance(each, backup) for each in listed[place:]):
        raise ValueError(
            "`BackupAndRestore` must be before `AveragesInValidation` with an optimizer"
            " of Keras, whose saved state does not hold the weights while their "
            f"averages are in the model. {received} The optimizer is {of_keras[0]}. "
            "Place `BackupAndRestore` first."
        )


def _sees_weights(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback of Keras saves or restores weights at the end of an epoch."""
    if isinstance(callback, keras.callbacks.EarlyStopping):
        return callback.restore_best_weights
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.save_freq == "epoch"
    return False


def _listed_with(
    callback: keras.callbacks.Callback,
) -> list[keras.callbacks.Callback]:
    """The callbacks of the `fit` that is calling one of them, in their order.

    Nothing tells a callback which others there are, but Python's stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller.callbacks
        frame = frame.f_back
    return [callback]
