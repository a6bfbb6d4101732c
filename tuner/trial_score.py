"""What a trial is worth: finite, also where training diverged."""

import collections.abc
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras_tuner.errors import FatalTypeError, FatalValueError

Scores = dict[str, float]


class FirstLoss(keras.callbacks.Callback):
    """Remembers the loss of the first minibatch, which no step has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = math.nan
        self._seen = False

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None):
        """Keeps the first."""
        if not self._seen:
            self.loss = float((logs or {}).get("loss", math.nan))
            self._seen = True


def last_epochs(history: Mapping[str, Sequence[float]], epochs: int) -> Scores:
    """The median of each metric over the last epochs; NaN where not all are finite.

    >>> last_epochs({"loss": [9.0, 3.0, 1.0, 2.0]}, 3)
    {'loss': 2.0}
    """
    scores = {}
    for name, values in history.items():
        last = np.asarray(values[-epochs:], float)
        finite = len(last) > 0 and bool(np.isfinite(last).all())
        scores[name] = float(np.median(last)) if finite else math.nan
    return scores


def is_suspicious(scores: Scores, first_loss: float) -> bool:
    """Whether it is worth comparing a run with an untrained model."""
    losses = [scores[name] for name in ("loss", "val_loss") if name in scores]
    return not (_finite(scores) and all(loss <= first_loss for loss in losses))


def has_diverged(scores: Scores, untrained: Scores) -> bool:
    """Whether a score is not finite, or the loss above that of an untrained model.

    >>> has_diverged({"loss": 0.5, "val_loss": 3.0}, {"loss": 2.3})
    True
    """
    loss = scores.get("val_loss", scores.get("loss", math.nan))
    return not _finite(scores) or loss > untrained["loss"]


def _finite(scores: Scores) -> bool:
    return all(map(math.isfinite, scores.values()))


def as_untrained(scores: Scores, untrained: Scores) -> Scores:
    """The scores of an untrained model under the names of a run's scores.

    What an evaluation does not tell, such as a learning rate, is kept where it is
    finite and left out where not.

    >>> as_untrained({"loss": math.nan, "val_loss": 9.0}, {"loss": 2.3})
    {'loss': 2.3, 'val_loss': 2.3}
    """
    replaced = {
        name: untrained.get(name.removeprefix("val_"), value)
        for name, value in scores.items()
    }
    return {name: v for name, v in replaced.items() if math.isfinite(v)}


def check_data(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raises TypeError if the data of `fit` could not be read again, to judge a run."""
    training = args[0] if args else kwargs.get("x")
    validated = kwargs.get("validation_data") is not None
    endless = validated and kwargs.get("steps_per_epoch") is not None
    if isinstance(training, collections.abc.Iterator) and not endless:
        raise FatalTypeError(
            "The data of a search must be such that it can be read more than once: "
            "every trial reads it. Give arrays, a `tf.data.Dataset` or a "
            "`keras.utils.PyDataset`; or an endless generator with `steps_per_epoch` "
            f"and `validation_data`. Received: {type(training).__name__}"
        )


def evaluate_untrained(
    model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Scores:
    """Metrics on the validation data of `fit`, or else on its training data.

    Raises:
        ValueError: if the loss is not finite.
    """
    validation = kwargs.get("validation_data")
    if validation is None:
        x, y, *_ = [*args, None, None]
        x, y = kwargs.get("x", x), kwargs.get("y", y)
        data = (x,) if y is None else (x, y)
        steps = kwargs.get("steps_per_epoch")
    else:
        data = validation if isinstance(validation, tuple) else (validation,)
        steps = kwargs.get("validation_steps")
    # Data that repeat without end are evaluated for as long as they are trained on.
    scores = model.evaluate(
        *data,
        batch_size=kwargs.get("validation_batch_size") or kwargs.get("batch_size"),
        steps=steps,
        verbose=0,
        return_dict=True,
    )
    if not math.isfinite(scores["loss"]):
        raise FatalValueError(
            "The loss of a model must be finite before it is trained. Look for NaN or "
            "infinite numbers in the data, and for overflow in the loss. "
            f"Received: loss={scores['loss']}"
        )
    return scores


def keep_checkpoint(
    callbacks: Sequence[keras.callbacks.Callback], model: keras.Model
) -> None:
    """Saves a model where KerasTuner looks for the trial's, if there is none.

    Of a run without a finite epoch KerasTuner keeps no weights, and then fails when
    Hyperband promotes the trial, which it does where all have diverged.
    """
    for callback in callbacks:
        # Private to KerasTuner, so known by its name.
        if type(callback).__name__ == "SaveBestEpoch":
            path = vars(callback)["filepath"]
            if not os.path.exists(path):
                model.save_weights(path)


def combined(scores: Scores, callbacks: Sequence[keras.callbacks.Callback]) -> Scores:
    """The scores, with their sum where KerasTuner was given several objectives."""
    for callback in callbacks:
        objective: Any = getattr(callback, "objective", None)
        if hasattr(objective, "objectives") and objective.has_value(scores):
            return scores | {objective.name: float(objective.get_value(scores))}
    return scores
