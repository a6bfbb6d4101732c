"""What a search leaves to be kept: the best rule base, the trials, pictures, a line."""

import csv
from collections.abc import Mapping
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from keras_fuzzyhess import plots
from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.plot_parts import import_pyplot
from keras_fuzzyhess.tuner.hyper_model import RuleBaseHyperModel
from keras_fuzzyhess.tuner.search_space import ORIGIN, base_of, rule_base_of
from keras_fuzzyhess.tuner.tuners import by_number
from keras_fuzzyhess.tuner.variation import PREFIX

COLUMNS = 4
"""Columns of small pictures."""


def best_rule_base(tuner: keras_tuner.Tuner) -> RuleBase:
    """The rule base of the trial with the best score.

    Works with every tuner whose `build(hp)` calls `rule_base(hp)`, and with one that
    was made anew over the directory of a finished search (of a distributed one, in a
    process with the environment variable `KERASTUNER_TUNER_ID=chief`).

    Args:
        tuner: A tuner after `search`.

    Returns:
        A `RuleBase`, for `best_rule_base(tuner).save("tuned.json")`, then
        `FuzzyHess(rule_base="tuned.json")`.

    Raises:
        ValueError: if no trial has been completed, if the search was not over a rule
            base, or if it was over another one than the tuner's hypermodel has by now.

    An example is that of `export`.
    """
    return _rule_base_of(tuner, _completed(tuner)[0])


def export(tuner: keras_tuner.Tuner, directory: str | PathLike[str]) -> str:
    """Writes the result of a search into a directory.

    | file | |
    |---|---|
    | `rule_base.json` | the best rule base, for `FuzzyHess(rule_base=...)` |
    | `trials.csv` | all trials: number, status, score, hyperparameters |
    | `scores.png` | score over trials, and the best so far |
    | `dimensions.png` | each hyperparameter against the score |
    | `surface_before.png`, `surface_after.png` | the control surfaces |
    | `summary.md` | what is returned |

    Args:
        tuner: A tuner after `search`.
        directory: Where to; made if it does not exist.

    Returns:
        A line of Markdown that says what was searched and what came of it, for the
        README of whoever ran it.

    Raises:
        ValueError: as `best_rule_base`.
        ImportError: if matplotlib is not installed.

    Example, with a function in place of a training:

    >>> import tempfile
    >>> from keras_fuzzyhess.tuner import RandomSearch, rule_base
    >>> class Search(RandomSearch):
    ...     def run_trial(self, trial, **kwargs):
    ...         return trial.hyperparameters.get("rule_base/weight/flat")
    >>> space = keras_tuner.HyperParameters()
    >>> base = rule_base(space, search="weights")
    >>> folder = Path(tempfile.mkdtemp())
    >>> tuner = Search(hyperparameters=space, max_trials=3, seed=0, directory=folder)
    >>> tuner.search(verbose=0)
    >>> line = export(tuner, folder / "result")
    >>> best = best_rule_base(tuner)
    >>> best.rules[3].weight < base.rules[3].weight == 1.0
    True
    >>> RuleBase.load(folder / "result" / "rule_base.json") == best
    True
    """
    import_pyplot()
    completed = _completed(tuner)
    best = completed[0]
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    tuned, base = _rule_base_of(tuner, best), base_of(best.hyperparameters)
    tuned.save(path / "rule_base.json")
    everything = by_number(tuner.oracle.trials)
    _write_trials(everything, path / "trials.csv")
    # KerasTuner's own tuners begin anywhere.
    before = next(
        (t for t in everything if t in completed and _rule_base_of(tuner, t) == base),
        None,
    )
    _draw_scores(everything, before, tuner.oracle.objective, path / "scores.png")
    _draw_dimensions(completed, tuner.oracle.objective, path / "dimensions.png")
    _draw_surfaces(
        {path / "surface_before.png": base, path / "surface_after.png": tuned}
    )
    line = _summary(tuner, everything, best, before)
    (path / "summary.md").write_text(line + "\n")
    return line


def _rule_base_of(tuner: keras_tuner.Tuner, trial: Any) -> RuleBase:
    hp = trial.hyperparameters
    if isinstance(tuner.hypermodel, RuleBaseHyperModel):
        # Raises if a finished search is read with another space than it was made in.
        return tuner.hypermodel.rule_base(hp.copy())
    return rule_base_of(hp)


def _completed(tuner: keras_tuner.Tuner) -> list[Any]:
    """All completed trials, the best first."""
    trials = tuner.oracle.get_best_trials(len(tuner.oracle.trials))
    completed = [trial for trial in trials if trial.status == "COMPLETED"]
    if not completed:
        reason = next((t.message for t in trials if t.message), None)
        failed = f", one failed with: {reason.splitlines()[-1]}" if reason else ""
        raise ValueError(
            "The search must have completed a trial. Call `tuner.search(...)`; failed "
            "trials count, so raise `max_trials` or pass `overwrite=True` when the "
            f"cause is mended. Received: {len(trials)} trials, none of them completed"
            f"{failed}"
        )
    return completed


def _write_trials(trials: list[Any], path: Path) -> None:
    names = sorted(
        {name for trial in trials for name in trial.hyperparameters.values} - {ORIGIN}
    )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "status", "score", *names])
        for trial in trials:
            values = trial.hyperparameters.values
            row = [values.get(name, "") for name in names]
            writer.writerow([trial.trial_id, trial.status, trial.score, *row])


def _summary(
    tuner: keras_tuner.Tuner, trials: list[Any], best: Any, before: Any | None
) -> str:
    objective = tuner.oracle.objective
    completed = sum(trial.status == "COMPLETED" for trial in trials)
    score = "no trial was completed" if before is None else f"{before.score:.4g}"
    compared = f"{score} with the rule base it began with"
    others = ", ".join(
        f"{name}={value}"
        for name, value in best.hyperparameters.values.items()
        if not name.startswith((PREFIX, "tuner/"))
    )
    if others:
        compared += f"; not by the rules alone, for the search also chose {others}"
    return (
        f"Rules tuned with keras-fuzzyhess {version('keras-fuzzyhess')}, "
        f"{type(tuner).__name__}, seed {tuner.oracle.seed}, {completed} completed of "
        f"{len(trials)} trials: best {objective.name} {best.score:.4g} (trial "
        f"{best.trial_id}), {compared}. "
        'Use: `FuzzyHess(rule_base="rule_base.json")`.'
    )


def _draw_scores(
    trials: list[Any], before: Any | None, objective: Any, path: Path
) -> None:
    """The score of each completed trial in their order, and the best so far."""
    numbers = [i for i, t in enumerate(trials) if t.status == "COMPLETED"]
    scores = [trials[i].score for i in numbers]
    best = (np.maximum if objective.direction == "max" else np.minimum).accumulate
    pyplot = import_pyplot()
    figure, ax = pyplot.subplots(figsize=(7, 4), layout="constrained")
    ax.plot(numbers, scores, "o", color="gray", label="trial")
    ax.step(numbers, best(scores), "-", where="post", color="black", label="best")
    if before is not None:
        ax.axhline(before.score, linestyle=":", color="black", label="before")
    ax.set(xlabel="trial", ylabel=objective.name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _draw_dimensions(trials: list[Any], objective: Any, path: Path) -> None:
    """Each numerical hyperparameter against the score; the best is marked."""
    names = [
        name
        for name, value in trials[0].hyperparameters.values.items()
        if isinstance(value, int | float) and not name.startswith("tuner/")
    ]
    rows = max(-(-len(names) // COLUMNS), 1)
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(12, 2.5 * rows), sharey=True, layout="constrained"
    )
    for ax, name in zip(axes.flat, names, strict=False):
        known = [t for t in trials if name in t.hyperparameters.values]
        values = [t.hyperparameters.values[name] for t in known]
        ax.plot(values, [t.score for t in known], ".", color="gray")
        ax.plot(values[0], known[0].score, "*", color="black", markersize=12)
        ax.set_xlabel(name.removeprefix("rule_base/"))
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    figure.supylabel(objective.name)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _draw_surfaces(rule_bases: Mapping[Path, RuleBase]) -> None:
    """Control surfaces, all with the same scale of greys."""
    drawn = {path: plots.plot_surface(base) for path, base in rule_bases.items()}
    for panels in zip(*drawn.values(), strict=True):
        meshes = [panel.collections[0] for panel in panels]
        grey = np.concatenate([np.ravel(mesh.get_array()) for mesh in meshes])
        for mesh in meshes:
            mesh.set_clim(grey.min(), grey.max())
    for path, axes in drawn.items():
        axes[0].figure.savefig(path, dpi=80)
        import_pyplot().close(axes[0].figure)
