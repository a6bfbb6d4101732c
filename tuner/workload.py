"""A training that a rule base is to serve."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Workload:
    """A model, its data and how long it is trained.

    Trainings of the same length take the same number of gradients, whatever the rules,
    for probes follow from the number of the step.

    Args:
        name: Its name, for reports.
        build_fn: Function without arguments that returns a new `keras.Model`, not
            compiled.
        loss: As `keras.Model.compile` has it; must be positive.
        x: Array of inputs.
        y: Array of targets.
        batch_size: Integer.
        epochs: Integer, the length of the training.

    Raises:
        ValueError: if `epochs` or `batch_size` is no integer of at least 1.

    Example:

    >>> workload = Workload(
    ...     "line",
    ...     lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
    ...     loss="mse",
    ...     x=np.ones((8, 1), "float32"),
    ...     y=np.ones((8, 1), "float32"),
    ...     batch_size=4,
    ...     epochs=2,
    ... )
    >>> run = train(workload, keras.optimizers.SGD(0.1), seed=0)
    >>> run.loss < run.epoch_losses[0]
    True
    """

    name: str
    build_fn: Callable[[], keras.Model]
    loss: Any
    x: np.ndarray
    y: np.ndarray
    batch_size: int
    epochs: int

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"`{name}` of workload '{self.name}' must be an integer of at "
                    f"least 1. Received: {name}={value!r}"
                )


@dataclass(frozen=True)
class Run:
    """What a training came to.

    Attributes:
        loss: Loss over all of `x` after the training, infinite if it was given up.
        epoch_losses: Mean loss of the minibatches of each epoch.
    """

    loss: float
    epoch_losses: tuple[float, ...]


class StopHopeless(keras.callbacks.Callback):
    """Stops a training whose loss is far above that of another one.

    Args:
        losses: Mean loss of each epoch of the other training.
        limit: How many times as high a loss may be.
    """

    def __init__(self, losses: Sequence[float], limit: float):
        super().__init__()
        self.losses = losses
        self.limit = limit
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares; a loss that is not finite is hopeless, too."""
        loss = float((logs or {}).get("loss", math.nan))
        if not loss <= self.limit * self.losses[epoch]:
            self.stopped = True
            self.model.stop_training = True


def train(
    workload: Workload,
    optimizer: keras.optimizers.Optimizer,
    seed: int,
    hopeless: StopHopeless | None = None,
) -> Run:
    """Trains a new model.

    Args:
        workload: A `Workload`.
        optimizer: A new optimizer.
        seed: Integer for `keras.utils.set_random_seed`.
        hopeless: When to give up. Defaults to never.

    Returns:
        A `Run`.
    """
    keras.utils.set_random_seed(seed)
    model = workload.build_fn()
    model.compile(optimizer=optimizer, loss=workload.loss)
    history = model.fit(
        workload.x,
        workload.y,
        batch_size=workload.batch_size,
        epochs=workload.epochs,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN()] + ([hopeless] if hopeless else []),
    )
    losses = tuple(float(loss) for loss in history.history["loss"])
    if hopeless is not None and hopeless.stopped:
        return Run(math.inf, losses)
    loss = float(model.evaluate(workload.x, workload.y, batch_size=1000, verbose=0))
    return Run(loss if math.isfinite(loss) else math.inf, losses)
