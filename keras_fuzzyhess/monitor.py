"""A callback that shows what the optimizer decides, and tells it how long `fit` is."""

from typing import Any

import keras

from keras_fuzzyhess.arguments import check_integer
from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.optimizer import SecondGradientOptimizer


class FuzzyHessMonitor(keras.callbacks.Callback):
    """Puts the optimizer's `diagnostics` into the logs of `fit`.

    At the end of every epoch the diagnostics (`step_length`, `gain`, `beta_3`,
    `loss_trend`, `loss_fall`, `progress`, `mean_curvature`, `probes`, `skipped_steps`,
    `skipped_in_a_row`, `dropped_probes`; units and ranges are in
    `FuzzyHess.diagnostics`) join the logs under exactly these names. `History`, the
    progress bar and every callback that comes later in the list see them. When ten
    steps in a row were skipped, for their loss or gradient was not finite, or the loss
    has stayed a hundredfold over its level, the epoch ends with a warning.

    **Order:** callbacks share one dictionary of logs and are called in the order of the
    list. Place the monitor *before* `CSVLogger`, `TensorBoard` (which calls the values
    `epoch_gain` and so on), `EarlyStopping` and `ModelCheckpoint`. `History` and the
    progress bar are always last.

    With `set_total_steps` the first epoch of a `fit` sets

        total_steps = iterations + (epochs - initial_epoch) steps

    with `iterations` the steps taken before and `steps` the minibatches of an epoch
    (divided by `gradient_accumulation_steps`, if that is used). A plan that the
    optimizer has already, from its constructor or from a saved state, is kept until
    its steps have been taken; a plan that this monitor made is made anew by the next
    `fit`. To give up a plan before its end, assign `None` to `optimizer.total_steps`.

    A copy, by `copy.deepcopy` or `pickle`, has the settings and the history, and
    belongs to no model.

    Args:
        every: Positive integer or `None`. With a number, a record is added to
            `history` whenever so many more minibatches have been trained; reading the
            diagnostics then makes the host wait for the device. Defaults to `None`: a
            record an epoch, and nothing at all is done in a step.
        set_total_steps: Bool, whether to tell the optimizer the number of steps that
            `fit` is going to take. Defaults to `False`: the optimizer is not changed.

    Attributes:
        history: Dict of lists of equal lengths, for `keras_fuzzyhess.plots`: `step`
            (the optimizer's `iterations`), `loss` (as Keras logs it, the mean over the
            epoch so far) and the diagnostics. Starts empty with each `fit`.

    Raises:
        TypeError: when `fit` begins, if the model's optimizer is not `FuzzyHess` or
            `SALO`; when made, if `set_total_steps` is not a bool.
        ValueError: if `every` is not a positive integer; in `fit`, if the length of an
            epoch is not known though `set_total_steps` asks for it, or if the logs
            have an entry with the name of a diagnostic.

    Example:

    >>> import numpy as np
    >>> from keras_fuzzyhess import FuzzyHess
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=FuzzyHess(), loss="mse")
    >>> monitor = FuzzyHessMonitor(every=2, set_total_steps=True)
    >>> x, y = np.ones((64, 2)), np.ones((64, 1))
    >>> fitted = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor])
    >>> fitted.history["progress"][-1], monitor.history["step"]
    (1.0, [2, 4, 6])
    """

    def __init__(self, every: int | None = None, set_total_steps: bool = False):
        super().__init__()
        if every is not None:
            check_integer("every", every, 1, ", or None for a record an epoch")
        if type(set_total_steps) is not bool:
            raise TypeError(
                "`set_total_steps` must be a bool. "
                f"Received: set_total_steps={set_total_steps!r}"
            )
        self.every = every
        self.set_total_steps = set_total_steps
        self.history: dict[str, list[float]] = {}
        # Keras hands safe callbacks over to a thread. One that does nothing in a step
        # must not be what makes `fit` wait for each.
        self.async_safe = every is None
        self._plan: int | None = None
        self._batches = self._last_batch = 0
        self._begun = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the optimizer and starts the history."""
        optimizer = inner_optimizer(self.model.optimizer)
        if not isinstance(optimizer, SecondGradientOptimizer):
            raise TypeError(
                "`FuzzyHessMonitor` must watch a model that is compiled with "
                "`FuzzyHess` or `SALO`. "
                f"Received: a model with the optimizer {type(optimizer).__name__}. "
                "Call `model.compile(optimizer=FuzzyHess(), ...)`, or leave the "
                "monitor out."
            )
        self.history = {}
        self._batches = 0
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Makes the plan; only here it is known which epoch is the first."""
        if self.set_total_steps and not self._begun:
            self._set_total_steps(epoch)
        self._begun = True
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None):
        """Adds a record, if one is due."""
        if self.every is None:
            return
        # With `steps_per_execution` several batches end at once.
        before = self._batches
        self._batches += batch - self._last_batch
        self._last_batch = batch
        if self._batches // self.every > before // self.every:
            self._record(inner_optimizer(self.model.optimizer).diagnostics, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Puts the diagnostics into the logs, and warns of what went wrong."""
        optimizer = inner_optimizer(self.model.optimizer)
        optimizer.warn_of_skipped_steps()
        optimizer.warn_of_divergence()
        diagnostics = optimizer.diagnostics
        if self.every is None:
            self._record(diagnostics, logs)
        if logs is None:
            return
        taken = sorted(diagnostics.keys() & logs.keys())
        if taken:
            raise ValueError(
                "The logs must have no entry with the name of a diagnostic of the "
                f"optimizer. Received: {', '.join(taken)}. Rename the metric, or keep "
                "one `FuzzyHessMonitor` only."
            )
        logs.update(diagnostics)

    def _record(
        self, diagnostics: dict[str, float], logs: dict[str, Any] | None
    ) -> None:
        record = {
            "step": _steps_taken(self.model.optimizer),
            "loss": float((logs or {}).get("loss", float("nan"))),
        } | diagnostics
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)

    def _set_total_steps(self, first_epoch: int) -> None:
        optimizer = inner_optimizer(self.model.optimizer)
        plan = optimizer.total_steps
        if plan not in (None, self._plan) and _steps_taken(optimizer) < plan:
            return
        if self.params.get("steps") is None:
            raise ValueError(
                "`set_total_steps=True` must know the number of steps of an epoch. "
                "Received: data of unknown length. Give `steps_per_epoch` to `fit`, "
                "or `total_steps` to the optimizer."
            )
        batches = (self.params["epochs"] - first_epoch) * self.params["steps"]
        # Some may have been left over, of the last step that was not taken.
        batches += int(optimizer._iterations.numpy())
        # At least 1, for accumulation may last longer than this `fit`.
        self._plan = max(batches // (optimizer.gradient_accumulation_steps or 1), 1)
        optimizer.total_steps = self._plan

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the model would not be the model that is going to be trained.
        return self.__dict__ | {"_model": None, "params": None}


def _steps_taken(optimizer: SecondGradientOptimizer) -> int:
    # Neither a tensor nor a variable on several replicas is a number by itself.
    return int(optimizer.iterations.numpy())
