"""KerasTuner's tuners without the defects of KerasTuner 1.4.8 that harm a search.

They are in its oracles and in how it saves them, where no `HyperModel` and no search
space can reach them. So they are mended in subclasses; its own classes stay as they
are:

- `seed=0` is taken for no seed (`seed or random`), so that a search with it never
  repeats.
- `RandomSearch`, `BayesianOptimization` and `Hyperband` begin with a random point.
  A search over a rule base begins with the defaults, that is, with the rule base
  itself: so that the search can only improve, and its scores have something to be
  compared with. (`GridSearch` does so by itself.)
- `GridSearch` does not save where it is in its grid, and a search that is resumed dies
  with a `KeyError`.
- A process that is killed while it writes a file leaves half of it, and the search
  cannot be resumed. Files are written beside the former one, which they then replace.
- One that is killed after it has saved a new trial, and before the oracle, leaves a
  trial that counts and is never run. Such a trial is begun anew when the search is
  resumed.

The other traps of KerasTuner are worked around where they arise: `by_number` (names of
trials), `search_space` (a changed space on resume), `variation` (order of breakpoints),
`hyper_model` (diverged runs, the best epoch, Hyperband's lost optimizer state),
`clean_search` (failures in a row).
"""

import functools
import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

import keras_tuner
import tensorflow as tf
from keras_tuner import oracles

from keras_fuzzyhess.tuner.variation import PREFIX

ENDED = ("COMPLETED", "FAILED")
"""Status of a trial that is not to be run again."""


class MendedOracle(keras_tuner.Oracle):
    """To be named behind KerasTuner's own oracle, so that it comes before its base."""

    def __init__(self, *args: Any, seed: int | None = None, **kwargs: Any):
        super().__init__(*args, seed=seed, **kwargs)
        if seed == 0:
            self.seed = self._seed_state = 0

    def _random_values(self) -> dict[str, Any] | None:
        space = self.get_space()
        if self.start_order or not any(PREFIX in hp.name for hp in space.space):
            return super()._random_values()
        return {hp.name: hp.default for hp in space.space if space.is_active(hp)}

    def save(self) -> None:
        """Writes the whole file, or leaves the former one."""
        _write_whole(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        path = os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")
        _write_whole(path, trial.get_state())

    def reload(self) -> None:
        """Forgets trials that were saved when the oracle did not know them yet."""
        super().reload()
        for trial_id in self.trials.keys() - set(self.start_order):
            del self.trials[trial_id]


class MendedTuner(keras_tuner.Tuner):
    """A tuner whose file is written whole, as those of its oracle."""

    def save(self) -> None:
        """Writes the whole file, or leaves the former one."""
        if not self._is_worker():
            self.oracle.save()
        _write_whole(self._get_tuner_fname(), self.get_state())


def _write_whole(path: str, state: dict[str, Any]) -> None:
    part = f"{path}.part"
    with tf.io.gfile.GFile(part, "w") as file:
        file.write(json.dumps(state))
    tf.io.gfile.rename(part, path, overwrite=True)


class _RandomSearchOracle(oracles.RandomSearchOracle, MendedOracle):
    pass


class _BayesianOptimizationOracle(oracles.BayesianOptimizationOracle, MendedOracle):
    pass


class _HyperbandOracle(oracles.HyperbandOracle, MendedOracle):
    pass


class _GridSearchOracle(oracles.GridSearchOracle, MendedOracle):
    """Saves where it is in its grid."""

    def get_state(self) -> dict[str, Any]:
        order = self._ordered_ids
        ids = []
        index = 0 if order._memory else None
        while index is not None:
            ids.append(order._memory[index])
            index = order._next_index[index]
        position = {"ordered_ids": ids, "populate_next": list(self._populate_next)}
        return super().get_state() | position

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        for trial_id in state["ordered_ids"]:
            self._ordered_ids.insert(trial_id)
        # It saves a trial that ends before it notes that the next point may follow it.
        self._populate_next = state["populate_next"] + [
            trial.trial_id
            for trial in self.ongoing_trials.values()
            if trial.status in ENDED
        ]


def _making(oracle: type[MendedOracle], stock: type[keras_tuner.Tuner]) -> Any:
    """The constructor of a tuner, which would make an oracle that is not mended."""
    signature = inspect.signature(stock.__init__)

    @functools.wraps(stock.__init__)
    def __init__(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs).arguments
        del given["self"]
        hypermodel, others = given.pop("hypermodel", None), given.pop("kwargs", {})
        keras_tuner.Tuner.__init__(self, oracle(**given), hypermodel, **others)

    return __init__


class RandomSearch(MendedTuner, keras_tuner.RandomSearch):
    """`keras_tuner.RandomSearch` that begins with the rule base that is varied.

    It takes `seed=0` for a seed and goes on after a kill at any time; in all else it,
    and its arguments, are as KerasTuner has them.

    Example:

    >>> import tempfile
    >>> from keras_fuzzyhess.tuner import rule_base
    >>> tuner = RandomSearch(rule_base, "loss", seed=0, directory=tempfile.mkdtemp())
    >>> tuner.oracle.verbose = 0
    >>> rule_base(tuner.oracle.create_trial("tuner0").hyperparameters).name
    'default'
    """

    __init__ = _making(_RandomSearchOracle, keras_tuner.RandomSearch)


class BayesianOptimization(MendedTuner, keras_tuner.BayesianOptimization):
    """`keras_tuner.BayesianOptimization` that begins with the rule base that is varied.

    See `RandomSearch`. Its random state is not saved: suggestions after a kill differ.
    """

    __init__ = _making(_BayesianOptimizationOracle, keras_tuner.BayesianOptimization)


class Hyperband(MendedTuner, keras_tuner.Hyperband):
    """`keras_tuner.Hyperband` that begins with the rule base that is varied.

    See `RandomSearch`.
    """

    __init__ = _making(_HyperbandOracle, keras_tuner.Hyperband)


class GridSearch(MendedTuner, keras_tuner.GridSearch):
    """`keras_tuner.GridSearch` that can be resumed. See `RandomSearch`."""

    __init__ = _making(_GridSearchOracle, keras_tuner.GridSearch)


def by_number(trials: Mapping[str, Any]) -> list[Any]:
    """Trials in the order in which they began.

    KerasTuner pads a number to the width of `max_trials`, so that names are no longer
    in order as text when it is raised, and reads a directory in any order.

    Example:

    >>> by_number({"10": "eleventh", "09": "tenth", "2": "third"})
    ['third', 'tenth', 'eleventh']
    """
    return [trials[name] for name in sorted(trials, key=int)]
