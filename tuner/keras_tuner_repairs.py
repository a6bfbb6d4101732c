"""Defects of KerasTuner 1.4.8 that are mended by importing `keras_fuzzyhess.tuner`.

They are in its oracles and in how it saves them, where no `HyperModel` and no search
space can reach them; so they are mended there, once, here:

- `seed=0` is taken for no seed (`seed or random`), so that a search with it never
  repeats. This holds for every oracle of the process.
- `RandomSearch`, `BayesianOptimization` and `Hyperband` begin with a random point.
  A search over a rule base begins with the defaults, that is, with the rule base
  itself: so that the search can only improve, and its scores have something to be
  compared with. Other searches are left alone. (`GridSearch` does so by itself.)
- `GridSearch` does not save where it is in its grid, and a search that is resumed dies
  with a `KeyError`.
- A process that is killed while it writes a file leaves half of it, and the search
  cannot be resumed. Files are written beside the former one, which they then replace.
- One that is killed after it has saved a new trial, and before the oracle, leaves a
  trial that counts and is never run. Such a trial is begun anew when the search is
  resumed.

The other traps of KerasTuner are worked around where they arise: `by_number` (names of
trials), `origin` (a changed space on resume), `stick_breaking` (order of breakpoints),
`hyper_model` (diverged runs, the best epoch, Hyperband's lost optimizer state),
`clean_search` (failures in a row).
"""

import functools
from collections.abc import Mapping
from typing import Any

import keras_tuner
import tensorflow as tf
from keras_tuner.src import utils

from keras_fuzzyhess.tuner.variation import PREFIX

ENDED = ("COMPLETED", "FAILED")
"""Status of a trial that is not to be run again."""


def apply() -> None:
    """Mends `keras_tuner.Oracle`; a second call changes nothing."""
    oracle = keras_tuner.Oracle
    if not hasattr(oracle.__init__, "__wrapped__"):
        oracle.__init__ = _with_seed_zero(oracle.__init__)
        oracle._random_values = _beginning_with_defaults(oracle._random_values)
        grid = keras_tuner.oracles.GridSearchOracle
        grid.get_state = _saving_position(grid.get_state)
        grid.set_state = _restoring_position(grid.set_state)
        oracle.reload = _forgetting_unknown_trials(oracle.reload)
        utils.save_json = _replacing(utils.save_json)


def _with_seed_zero(init: Any) -> Any:
    @functools.wraps(init)
    def __init__(self, *args, seed=None, **kwargs):
        init(self, *args, seed=seed, **kwargs)
        if seed == 0:
            self.seed = self._seed_state = 0

    return __init__


def _beginning_with_defaults(random_values: Any) -> Any:
    @functools.wraps(random_values)
    def _random_values(self):
        if self.start_order or not is_over_rule_base(self.hyperparameters):
            return random_values(self)
        return default_values(self.get_space())

    return _random_values


def _saving_position(get_state: Any) -> Any:
    @functools.wraps(get_state)
    def get_state_with_position(self):
        order = self._ordered_ids
        ids = []
        index = 0 if order._memory else None
        while index is not None:
            ids.append(order._memory[index])
            index = order._next_index[index]
        return get_state(self) | {
            "ordered_ids": ids,
            "populate_next": list(self._populate_next),
        }

    return get_state_with_position


def _restoring_position(set_state: Any) -> Any:
    @functools.wraps(set_state)
    def set_state_with_position(self, state):
        set_state(self, state)
        for trial_id in state["ordered_ids"]:
            self._ordered_ids.insert(trial_id)
        # It saves a trial that ends before it notes that the next point may follow it.
        ended = [
            trial.trial_id
            for trial in self.ongoing_trials.values()
            if trial.status in ENDED
        ]
        self._populate_next = state["populate_next"] + ended

    return set_state_with_position


def _forgetting_unknown_trials(reload: Any) -> Any:
    @functools.wraps(reload)
    def reload_known_trials(self):
        reload(self)
        for trial_id in self.trials.keys() - set(self.start_order):
            del self.trials[trial_id]

    return reload_known_trials


def _replacing(save_json: Any) -> Any:
    @functools.wraps(save_json)
    def save_json_whole(path, obj):
        part = f"{path}.part"
        text = save_json(part, obj)
        tf.io.gfile.rename(part, path, overwrite=True)
        return text

    return save_json_whole


def by_number(trials: Mapping[str, Any]) -> list[Any]:
    """Trials in the order in which they began.

    KerasTuner pads a number to the width of `max_trials`, so that names are no longer
    in order as text when it is raised, and reads a directory in any order.

    Args:
        trials: `keras_tuner.Oracle.trials`, by their names.

    Returns:
        List of the values.

    Example:

    >>> by_number({"10": "eleventh", "09": "tenth", "2": "third"})
    ['third', 'tenth', 'eleventh']
    """
    return [trials[name] for name in sorted(trials, key=int)]


def is_over_rule_base(space: keras_tuner.HyperParameters) -> bool:
    """Whether a search space has hyperparameters of a rule base."""
    return any(PREFIX in hp.name for hp in space.space)


def default_values(space: keras_tuner.HyperParameters) -> dict[str, Any]:
    """The defaults of all hyperparameters that are active."""
    return {hp.name: hp.default for hp in space.space if space.is_active(hp)}
