"""An objective over several workloads: how a rule base is learned that serves all."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np
from keras_tuner.errors import FatalTypeError, FatalValueError

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from keras_fuzzyhess.arguments import check_argument, check_integer, is_number
from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.tuner.hyper_model import RuleBaseHyperModel, describe
from keras_fuzzyhess.tuner.search_space import GROUPS


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
        validation_data: Tuple `(x, y)` of arrays that are held back: the loss of a
            training is measured on them. Defaults to `None`: on what is trained on.

    Raises:
        ValueError: if `epochs` or `batch_size` is no integer of at least 1, or if
            `validation_data` is no tuple of two arrays.

    Example:

    >>> workload = Workload(
    ...     "line",
    ...     lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
    ...     loss="mse",
    ...     x=np.ones((8, 1)), y=np.ones((8, 1)), batch_size=4, epochs=2,
    ... )
    >>> workload.build_fn().count_params()
    2
    """

    name: str
    build_fn: Callable[[], keras.Model]
    loss: Any
    x: np.ndarray
    y: np.ndarray
    batch_size: int
    epochs: int
    validation_data: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"`{name}` of workload '{self.name}' must be an integer of at "
                    f"least 1. Received: {name}={value!r}"
                )
        data = self.validation_data
        if data is not None and not (isinstance(data, tuple) and len(data) == 2):
            kind = type(data).__name__
            length = f" of {len(data)}" if isinstance(data, tuple) else ""
            raise ValueError(
                f"`validation_data` of workload '{self.name}' must be a tuple `(x, y)` "
                f"of arrays or None. Received: a {kind}{length}"
            )


class Run(NamedTuple):
    """What a training came to: the loss in the end, infinite if it was given up."""

    loss: float
    epoch_losses: Sequence[float]


class StopHopeless(keras.callbacks.Callback):
    """Stops where an epoch's loss is so many times as high as in another training."""

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
    """Trains a new model."""
    keras.utils.set_random_seed(seed)
    model = workload.build_fn()
    model.compile(optimizer=optimizer, loss=workload.loss)
    x, y, length = workload.x, workload.y, (workload.batch_size, workload.epochs)
    callbacks = [keras.callbacks.TerminateOnNaN()] + ([hopeless] if hopeless else [])
    if inner_optimizer(model.optimizer).use_ema:
        callbacks.insert(0, AveragesInValidation())
    losses = model.fit(x, y, *length, verbose=0, callbacks=callbacks).history["loss"]
    if hopeless is not None and hopeless.stopped:
        return Run(math.inf, losses)
    x, y = workload.validation_data or (x, y)
    loss = float(model.evaluate(x, y, batch_size=1000, verbose=0))
    return Run(loss if math.isfinite(loss) else math.inf, losses)


class WorkloadsHyperModel(RuleBaseHyperModel):
    """Scores a rule base by several trainings, relative to the base that is varied.

    The score of a trial, to be minimized, is the geometric mean over workloads and
    seeds of

        loss of the trial / loss of the base ,    limited to [1 / hopeless, hopeless]

    after trainings of equal length, which take equally many gradients. The loss is that
    of `validation_data` where a workload has some, else that of its training data. The
    base scores 1. A training that diverges, or whose loss of some epoch is more than
    `hopeless` times that of the base in the same epoch, ends the trial early; it and
    what has not been trained yet count as `hopeless`. So all scores are finite.

    Leave the tuner's `objective` away and give `search` no data:
    `RandomSearch(WorkloadsHyperModel(workloads)).search()`. No weights are
    kept, for they are many models' weights; `get_best_models` has nothing to load.

    Args:
        workloads: Sequence of `Workload` with different names.
        base: The `RuleBase` to vary, or the path of its JSON file. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        search: What is searched, see `rule_base`. Defaults to all groups.
        optimizer_fn: What makes the optimizer from `rule_base=...`. Defaults to
            `FuzzyHess`.
        seeds: Sequence of integers. Defaults to `(0,)`.
        hopeless: Number greater than 1. Defaults to 4 (our choice).

    Raises:
        TypeError: if `base` is no rule base, or if `optimizer_fn` cannot be called.
        ValueError: if there is no workload or no seed, if names are not different, if
            `search` names no group or an unknown one, if `hopeless` is not above 1;
            while searching, if the base itself diverges or reaches a loss that is not
            positive.

    Example:

    >>> x = np.linspace(-1, 1, 64, dtype="float32")[:, np.newaxis]
    >>> line = Workload(
    ...     "line",
    ...     lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
    ...     loss="mse", x=x, y=2 * x, batch_size=16, epochs=3,
    ... )
    >>> hypermodel = WorkloadsHyperModel([line])
    >>> hypermodel.score(hypermodel.rule_base(keras_tuner.HyperParameters()))
    1.0
    """

    def __init__(
        self,
        workloads: Sequence[Workload],
        base: RuleBase | str | PathLike[str] | None = None,
        search: Iterable[str] = GROUPS,
        optimizer_fn: Callable[..., keras.optimizers.Optimizer] = FuzzyHess,
        seeds: Sequence[int] = (0,),
        hopeless: float = 4.0,
    ):
        names = [workload.name for workload in workloads]
        different = len(names) > 0 and len(set(names)) == len(names)
        check_argument("workloads", names, "one or more, named differently", different)
        check_argument("seeds", seeds, "one or more integers", len(seeds) > 0)
        for seed in seeds:
            check_integer("seeds", seed, 0)
        above = is_number(hopeless) and 1 < hopeless < float("inf")
        check_argument("hopeless", hopeless, "a finite number above 1", above)
        super().__init__(base, search, optimizer_fn)
        self.workloads = tuple(workloads)
        self.seeds = tuple(seeds)
        self.hopeless = hopeless
        self._references: dict[tuple[str, int], Run] = {}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Enters the hyperparameters; the model is only what KerasTuner asks for."""
        self.rule_base(hp)
        return self.workloads[0].build_fn()

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> float:
        """Trains every workload; returns the score.

        Raises:
            TypeError: if `search` was given data or arguments of `fit` other than
                `verbose`, for the workloads have their own.
        """
        verbose = kwargs.pop("verbose", "auto")
        kwargs.pop("callbacks", None)  # KerasTuner's own, of a single model
        if args or kwargs:
            given = [type(arg).__name__ for arg in args] + list(kwargs)
            raise FatalTypeError(
                "`search` must get no data and no arguments of `fit`: the workloads "
                f"have their own. Received: {', '.join(given)}"
            )
        varied = self.rule_base(hp)
        if verbose != 0:
            print(describe(varied))
        return self.score(varied)

    def score(self, varied: RuleBase) -> float:
        """Geometric mean of the losses relative to the base, see the class."""
        ratios: list[float] = []
        tasks = [(w, seed) for w in self.workloads for seed in self.seeds]
        for workload, seed in tasks:
            reference = self._reference(workload, seed)
            stop = StopHopeless(reference.epoch_losses, self.hopeless)
            run = train(workload, self.optimizer_fn(rule_base=varied), seed, stop)
            ratio = run.loss / reference.loss
            ratios.append(min(max(ratio, 1 / self.hopeless), self.hopeless))
            if stop.stopped:
                break
        ratios += [self.hopeless] * (len(tasks) - len(ratios))
        return float(np.exp(np.mean(np.log(ratios))))

    def _reference(self, workload: Workload, seed: int) -> Run:
        key = workload.name, seed
        if key not in self._references:
            run = train(workload, self.optimizer_fn(rule_base=self.base), seed)
            if not 0 < run.loss < float("inf"):
                raise FatalValueError(
                    f"The loss of workload '{workload.name}' must be positive and "
                    "finite when it is trained with the base. "
                    f"Received: {run.loss} (seed {seed})"
                )
            self._references[key] = run
        return self._references[key]
