"""A search that ends, with every trial kept, also when trials fail in a row.

KerasTuner stops such a search by raising inside the oracle: before it has saved the
trial, and with the oracle's lock held. The process that searches loses that trial; a
chief of several workers waits for ever. Here the oracle answers "no more trials"
instead, so that running trials finish, everything is saved and every process ends.

A chief also saves the trial that ended last as one that still runs, and runs it again
when the search is gone on with. Here a trial that has ended is not run again.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras_tuner

from keras_fuzzyhess.tuner.tuners import ENDED


def clean_search(
    tuner: keras_tuner.Tuner, *fit_args: Any, **fit_kwargs: Any
) -> keras_tuner.Tuner | None:
    """Runs `tuner.search` so that it ends cleanly also when trials fail in a row.

    To be called in place of `tuner.search`: in one process or, with KerasTuner's
    environment variables set, in the chief and in every worker. When the last
    `max_consecutive_failed_trials` (an argument of the tuner, 3 by default) trials to
    end have all failed, no new trial is begun. Trials that run finish and are saved,
    failed ones too; workers return; then the error is raised, by the chief where there
    is one.

    Args:
        tuner: A KerasTuner tuner.
        *fit_args: Passed to `tuner.search`.
        **fit_kwargs: Passed to `tuner.search`.

    Returns:
        The tuner, or `None` in a worker, where it does not know the results.

    Raises:
        RuntimeError: if trials failed in a row. All finished trials are then saved, and
            the same script, run again when the cause is mended, goes on.

    Example, with a function in place of a training:

    >>> import tempfile
    >>> from keras_fuzzyhess.tuner import RandomSearch
    >>> class Search(RandomSearch):
    ...     def run_trial(self, trial, **kwargs):
    ...         return trial.hyperparameters.get("x") ** 2
    >>> space = keras_tuner.HyperParameters()
    >>> x = space.Float("x", -1.0, 1.0)
    >>> tuner = Search(
    ...     hyperparameters=space, max_trials=3, seed=0, directory=tempfile.mkdtemp()
    ... )
    >>> if clean_search(tuner, verbose=0):
    ...     len(tuner.oracle.trials)
    3
    """
    oracle = tuner.oracle
    if not isinstance(oracle, keras_tuner.Oracle):  # a worker's asks the chief's
        tuner.search(*fit_args, **fit_kwargs)
        return None
    oracle._retry_queue = [
        trial_id
        for trial_id in oracle._retry_queue
        if oracle.trials[trial_id].status not in ENDED
    ]
    with _ended_by_failures(oracle) as last_failure:
        tuner.search(*fit_args, **fit_kwargs)
    if last_failure:
        raise RuntimeError(
            f"The search was ended because {oracle.max_consecutive_failed_trials} "
            f"trials in a row failed, the last, {last_failure[0].trial_id}, with: "
            f"{_reason(last_failure[0])}. All finished trials are kept in "
            f"{tuner.project_dir}. Mend the cause and run the same search again to go "
            "on, or allow more with `max_consecutive_failed_trials`."
        )
    return tuner


@contextlib.contextmanager
def _ended_by_failures(oracle: keras_tuner.Oracle) -> Iterator[list[Any]]:
    """Begins no trial once some in a row have failed; the last is then in the list.

    Only trials that end from now on count: a search that failed, and is gone on with
    when the cause is mended, would otherwise stop at once.
    """
    limit, earlier = oracle.max_consecutive_failed_trials, len(oracle.end_order)
    populate_space = oracle.populate_space
    last_failure: list[Any] = []

    def check() -> None:
        last = [oracle.trials[i] for i in oracle.end_order[earlier:][-limit:]]
        if len(last) == limit and all(trial.status == "FAILED" for trial in last):
            last_failure[:] = last[-1:]

    def populate_unless_reached(trial_id: str) -> Any:
        if last_failure:
            return {"status": "STOPPED", "values": None}
        return populate_space(trial_id)

    # Of this oracle alone, before what its class has.
    oracle._check_consecutive_failures = check
    oracle.populate_space = populate_unless_reached
    try:
        yield last_failure
    finally:
        del oracle._check_consecutive_failures, oracle.populate_space


def _reason(trial: Any) -> str:
    if trial.message:
        return trial.message.strip().splitlines()[-1]
    return "no message (a worker prints its errors, and does not send them)"
