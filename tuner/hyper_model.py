"""KerasTuner's `HyperModel` of a single model, and what is shared with several."""

import copy
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import keras
import keras_tuner
from keras_tuner.errors import FatalTypeError, FatalValueError

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from keras_fuzzyhess.arguments import check_integer
from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.tuner import trial_score
from keras_fuzzyhess.tuner.search_space import (
    GROUPS,
    resolve_base,
    resolve_groups,
    rule_base,
)


class RuleBaseHyperModel(keras_tuner.HyperModel):
    """What hypermodels share whose trials differ by the rules of the optimizer."""

    def __init__(
        self,
        base: RuleBase | str | PathLike[str] | None,
        search: Iterable[str],
        optimizer_fn: Callable[..., keras.optimizers.Optimizer],
    ):
        _check_function("optimizer_fn", optimizer_fn)
        super().__init__()
        self.base = resolve_base(base)
        self.search = resolve_groups(search)
        self.optimizer_fn = optimizer_fn

    def rule_base(self, hp: keras_tuner.HyperParameters) -> RuleBase:
        """The rule base of a trial."""
        return rule_base(hp, self.base, self.search)


class FuzzyHessHyperModel(RuleBaseHyperModel):
    """Compiles a model with `FuzzyHess` and the rule base of the trial.

    Every trial begins with the same seed, so that trials differ by their rules only
    and a search that is resumed goes on as it would have.

    **Score.** The trial's metrics are those of the last epoch, or medians over the last
    `score_epochs` epochs; not of the best epoch, as KerasTuner has it, for a run that
    was good once and then went astray is not good. (The weights that KerasTuner keeps,
    for `get_best_models`, are those of the best epoch all the same.) What is validated
    are the averaged weights, which are what `fit` leaves in the end.

    **Divergence.** A run whose scored metrics are not all finite, or whose loss ends
    above that of an untrained model, is scored as an untrained model. That is finite,
    so that the search goes on and a Bayesian oracle learns to keep away. (An untrained
    model is evaluated only where the loss has ended above that of the first minibatch.)

    Args:
        build_fn: Function that takes a `keras_tuner.HyperParameters` and returns a
            `keras.Model` that is not compiled. It may ask `hp` for more.
        base: The `RuleBase` to vary, or the path of its JSON file. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        search: What is searched, see `rule_base`. Defaults to all groups.
        optimizer_fn: What makes the optimizer from `rule_base=...`, such as
            `functools.partial(FuzzyHess, total_steps=1000)` or `SALO`. Defaults to
            `FuzzyHess`.
        score_epochs: Integer, the number of last epochs whose median is the score.
            Defaults to 1, the last.
        seed: Integer or `None`. `keras.utils.set_random_seed(seed + i)` is called
            before the `i`-th execution of each trial. Defaults to 0; with `None`
            seeds are left alone.
        **compile_arguments: Arguments of `keras.Model.compile`: `loss`, `metrics` and
            so on. Each trial gets copies.

    Raises:
        TypeError: if `base` is no rule base, or if `build_fn` or `optimizer_fn` cannot
            be called; while searching, if `build_fn` returns no Keras model.
        ValueError: if `search` names no group or an unknown one, if `score_epochs` or
            `seed` is out of its range, or if `optimizer` is among the arguments; while
            searching, if the model is compiled already, or not built under Hyperband.

    Example:

    >>> def build(hp):
    ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> hypermodel = FuzzyHessHyperModel(build, loss="mse")
    >>> model = hypermodel.build(keras_tuner.HyperParameters())
    >>> model.optimizer.rule_base.name
    'default'
    """

    def __init__(
        self,
        build_fn: Callable[[keras_tuner.HyperParameters], keras.Model],
        base: RuleBase | str | PathLike[str] | None = None,
        search: Iterable[str] = GROUPS,
        optimizer_fn: Callable[..., keras.optimizers.Optimizer] = FuzzyHess,
        score_epochs: int = 1,
        seed: int | None = 0,
        **compile_arguments: Any,
    ):
        _check_function("build_fn", build_fn)
        if "optimizer" in compile_arguments:
            raise ValueError(
                "The optimizer must be left to `FuzzyHessHyperModel`, which makes one "
                "for each trial. Set its arguments through `optimizer_fn`, such as "
                "`functools.partial(FuzzyHess, total_steps=1000)`. Received: "
                f"optimizer={compile_arguments['optimizer']!r}"
            )
        check_integer("score_epochs", score_epochs, 1)
        if seed is not None:
            check_integer("seed", seed, 0, " or None")
        super().__init__(base, search, optimizer_fn)
        self.build_fn = build_fn
        self.score_epochs = score_epochs
        self.seed = seed
        self.compile_arguments = compile_arguments
        self._hp: keras_tuner.HyperParameters | None = None
        self._execution = 0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model with its optimizer built."""
        # The executions of a trial share `hp`; trials do not.
        self._execution = self._execution + 1 if hp is self._hp else 0
        self._hp = hp
        return self._seeded_model(hp)

    def _seeded_model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed + self._execution)
        model = self.build_fn(hp)
        if not isinstance(model, keras.Model):
            raise FatalTypeError(
                "`build_fn` must return a `keras.Model`. "
                f"Received: {model!r} (of type {type(model).__name__})"
            )
        if model.compiled:
            raise FatalValueError(
                "`build_fn` must return a model that is not compiled. Hand the "
                "arguments of `compile` to `FuzzyHessHyperModel`. Received: a model "
                f"compiled with {type(inner_optimizer(model.optimizer)).__name__}"
            )
        optimizer = self.optimizer_fn(rule_base=self.rule_base(hp))
        # Metrics have state, which trials must not share.
        model.compile(optimizer, **copy.deepcopy(self.compile_arguments))
        if model.built:
            # Hyperband's promotion loads the weights of a former trial before the first
            # step; state of the optimizer is then loaded only if it exists already.
            model.optimizer.build(model.trainable_variables)
        elif "tuner/epochs" in hp.values:
            raise FatalValueError(
                "Under Hyperband `build_fn` must return a built model, or the state of "
                "the optimizer would be lost when a trial is promoted. Begin the model "
                "with `keras.Input`. Received: a model without weights"
            )
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Trains the model and returns its scores.

        Args:
            hp: The trial's hyperparameters.
            model: What `build` returned.
            *args: Positional arguments of `keras.Model.fit`.
            **kwargs: Its keyword arguments.

        Returns:
            Dict of the scored metrics, all finite.
        """
        trial_score.check_data(args, kwargs)
        if kwargs.get("verbose", "auto") != 0:
            print(describe(self.rule_base(hp)))
        watch = trial_score.FirstLoss()
        callbacks = [*(kwargs.pop("callbacks", None) or []), watch]
        if not any(isinstance(c, keras.callbacks.TerminateOnNaN) for c in callbacks):
            callbacks.append(keras.callbacks.TerminateOnNaN())
        puts_averages = (keras.callbacks.SwapEMAWeights, AveragesInValidation)
        averages = inner_optimizer(model.optimizer).use_ema
        if averages and not any(isinstance(c, puts_averages) for c in callbacks):
            callbacks.append(AveragesInValidation())
        history = model.fit(*args, **kwargs, callbacks=callbacks).history
        scores = trial_score.last_epochs(history, self.score_epochs)
        if trial_score.is_suspicious(scores, watch.loss):
            fresh = self._seeded_model(hp.copy())
            untrained = trial_score.evaluate_untrained(fresh, args, kwargs)
            if trial_score.has_diverged(scores, untrained):
                trial_score.keep_checkpoint(callbacks, fresh)
                scores = trial_score.as_untrained(scores, untrained)
        return trial_score.combined(scores, callbacks)


def _check_function(name: str, value: Any) -> None:
    if not callable(value) or isinstance(value, keras.Model):
        raise TypeError(f"`{name}` must be a function. Received: {name}={value!r}")


def describe(varied: RuleBase) -> str:
    """What the values of a trial mean: terms where they lie, and weights.

    KerasTuner's own display lists hyperparameters as they are searched, where a
    breakpoint is a fraction of what is left of its range.

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> print(describe(paper_rule_base()))
    Rule base 'paper'
      loss_trend  rising (-1, 0), flat (-1, 0, 1), falling (0, 1)
      progress    early (0.1, 0.5), middle (0.1, 0.5, 0.9), late (0.5, 0.9)
      gain        tiny (0, 0.1, 0.2), small (0.2, 0.3, 0.4), half (0.4, 0.5, 0.6), \
full (0.9, 1, 1.1)
      beta_3      short (0.891, 0.9, 0.909), medium (0.941, 0.95, 0.959), \
long (0.981, 0.99, 0.999)
      weights     1 1 1 1 1 1 1 1 1
    """
    rows = [
        (
            variable.name,
            ", ".join(
                f"{term.name} ({', '.join(f'{p:.4g}' for p in term.points)})"
                for term in variable.terms
            ),
        )
        for variable in varied.inputs + varied.outputs
    ]
    rows.append(("weights", " ".join(f"{rule.weight:.3g}" for rule in varied.rules)))
    lines = [f"  {name:<12}{text}" for name, text in rows]
    return "\n".join([f"Rule base '{varied.name}'", *lines])
