"""Tree-structured Parzen estimator: Optuna's sampler as an oracle of KerasTuner.

For many dimensions: a suggestion takes milliseconds, where a Gaussian process takes
seconds. Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011;
multivariate form: Falkner et al., "BOHB", ICML 2018. Needs Optuna,
`pip install "keras-fuzzyhess[optuna]"`.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_fuzzyhess.arguments import check_integer
from keras_fuzzyhess.tuner.tuners import MendedOracle, MendedTuner, by_number

if TYPE_CHECKING:
    import optuna


class TPEOracle(MendedOracle):
    """Suggests hyperparameters with Optuna's tree-structured Parzen estimator.

    A suggestion is a function of the seed and of the trials so far and of nothing else:
    Optuna's study is made anew for each from the trials that KerasTuner keeps. So there
    is no state beside KerasTuner's own, and a search that is resumed goes on as it
    would have. Trials that run at the same time are told to the sampler, which keeps
    away from them; failed trials are left out.

    Numbers are searched on KerasTuner's scale of them (`value_to_prob`, in [0, 1]),
    choices as categories.

    Args:
        objective: As KerasTuner's oracles have it.
        max_trials: Integer, the number of trials. Defaults to 10.
        num_initial_points: Integer, completed trials before the estimator is used.
            They are drawn at random, but the first of a search over a rule base, which
            takes the defaults. Defaults to 10, as Optuna has it: with no more trials
            than that, it is a random search.
        seed: Integer or `None`. Defaults to `None`, a random one.
        **kwargs: The other arguments of `keras_tuner.Oracle`.

    Raises:
        ImportError: if Optuna is not installed.
        ValueError: if a number of trials is less than 1.

    Example:

    >>> oracle = TPEOracle(objective="val_loss", max_trials=30, seed=0)
    >>> oracle.num_initial_points
    10
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int = 10,
        num_initial_points: int = 10,
        seed: int | None = None,
        **kwargs: Any,
    ):
        _import_optuna()
        check_integer("max_trials", max_trials, 1)
        check_integer("num_initial_points", num_initial_points, 1)
        super().__init__(
            objective=objective, max_trials=max_trials, seed=seed, **kwargs
        )
        self.num_initial_points = num_initial_points

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Values for a trial, in the form that `keras_tuner.Oracle` asks for."""
        completed = sum(t.status == "COMPLETED" for t in self.trials.values())
        at_random = completed < self.num_initial_points
        values = self._random_values() if at_random else self._untried_suggestion()
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}

    def _untried_suggestion(self) -> dict[str, Any] | None:
        for attempt in range(self._max_collisions):
            values = self._suggestion(attempt)
            if not self._duplicate(values):
                return values
        return self._random_values()  # None where nothing is left to be tried

    def _suggestion(self, attempt: int) -> dict[str, Any]:
        optuna = _import_optuna()
        tuned = [
            hp for hp in self.hyperparameters.space if not isinstance(hp, kinds.Fixed)
        ]
        seed = hash((self.seed, len(self.trials), attempt)) % 2**32
        with warnings.catch_warnings():
            # "multivariate" and "constant_liar" are called experimental since 2020.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=1, multivariate=True, constant_liar=True, seed=seed
            )
        direction = "maximize" if self.objective.direction == "max" else "minimize"
        study = _quiet_study(optuna, sampler, direction)
        for trial in by_number(self.trials):
            past = _past_trial(optuna, trial, tuned)
            if past is not None:
                study.add_trial(past)
        suggested = study.ask({hp.name: _distribution(optuna, hp) for hp in tuned})
        # Only what is active under the values before it, as KerasTuner wants it.
        hps = kinds.HyperParameters()
        for hp in self.hyperparameters.space:
            hps.merge([hp])
            if hps.is_active(hp):
                hps.values[hp.name] = _value(hp, suggested.params.get(hp.name))
        return hps.values


class TPE(MendedTuner):
    """Tuner that searches with `TPEOracle`.

    Args:
        hypermodel: A `keras_tuner.HyperModel` or a function of `hp`.
        objective: As KerasTuner's tuners have it.
        max_trials: Integer, the number of trials. Defaults to 10.
        num_initial_points: See `TPEOracle`. Defaults to 10.
        seed: Likewise.
        **kwargs: The other arguments of KerasTuner's tuners: `hyperparameters`,
            `tune_new_entries`, `allow_new_entries`, `max_retries_per_trial`,
            `max_consecutive_failed_trials`, `directory`, `project_name`, `overwrite`,
            `executions_per_trial` and so on.

    Raises:
        ImportError: if Optuna is not installed.
        ValueError: if a number of trials is less than 1.

    Example, with a function in place of a training:

    >>> import tempfile
    >>> class Search(TPE):
    ...     def run_trial(self, trial, **kwargs):
    ...         return trial.hyperparameters.get("x") ** 2
    >>> space = keras_tuner.HyperParameters()
    >>> x = space.Float("x", -1.0, 1.0)
    >>> tuner = Search(
    ...     hyperparameters=space, max_trials=12, num_initial_points=4, seed=0,
    ...     directory=tempfile.mkdtemp(),
    ... )
    >>> tuner.search(verbose=0)
    >>> abs(tuner.get_best_hyperparameters()[0].get("x")) < 0.1
    True
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int = 10,
        num_initial_points: int = 10,
        seed: int | None = None,
        **kwargs: Any,
    ):
        names = inspect.signature(keras_tuner.Oracle.__init__).parameters
        of_oracle = {name: kwargs.pop(name) for name in names if name in kwargs}
        oracle = TPEOracle(objective, max_trials, num_initial_points, seed, **of_oracle)
        super().__init__(oracle, hypermodel, **kwargs)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "`keras_fuzzyhess.tuner.TPE` needs Optuna. Install it with "
            '`pip install "keras-fuzzyhess[optuna]"`.'
        ) from error
    return optuna


def _quiet_study(optuna: Any, sampler: Any, direction: str) -> optuna.Study:
    """A study without Optuna's line that one was made."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(sampler=sampler, direction=direction)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(optuna: Any, hp: Any) -> Any:
    if _is_category(hp):
        return optuna.distributions.CategoricalDistribution(tuple(hp.values))
    return optuna.distributions.FloatDistribution(0.0, 1.0)


def _value(hp: Any, suggested: Any) -> Any:
    if isinstance(hp, kinds.Fixed):
        return hp.value
    return suggested if _is_category(hp) else hp.prob_to_value(suggested)


def _is_category(hp: Any) -> bool:
    return isinstance(hp, kinds.Choice | kinds.Boolean)


def _past_trial(optuna: Any, trial: Any, tuned: list[Any]) -> Any | None:
    """A trial of KerasTuner as one of Optuna; None if it is of no use."""
    states = optuna.trial.TrialState
    done = trial.status == "COMPLETED"
    if not done and trial.status != "RUNNING":
        return None
    params, distributions = {}, {}
    for hp in tuned:
        if hp.name in trial.hyperparameters.values:
            value = trial.hyperparameters.values[hp.name]
            params[hp.name] = value if _is_category(hp) else hp.value_to_prob(value)
            distributions[hp.name] = _distribution(optuna, hp)
    return optuna.trial.create_trial(
        state=states.COMPLETE if done else states.RUNNING,
        value=float(trial.score) if done else None,
        params=params,
        distributions=distributions,
    )
