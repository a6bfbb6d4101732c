"""Pictures of a search; all can be read in grey."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from keras_fuzzyhess import plots
from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.plot_parts import import_pyplot

COLUMNS = 4
"""Columns of small pictures."""


def draw_scores(trials: list[Any], objective: Any, path: str | PathLike[str]) -> None:
    """Draws the score of each completed trial in their order, and the best so far.

    Args:
        trials: Trials of KerasTuner in the order of their numbers.
        objective: The oracle's objective.
        path: File to write.
    """
    numbers = [i for i, t in enumerate(trials) if t.status == "COMPLETED"]
    scores = [trials[i].score for i in numbers]
    best = (np.maximum if objective.direction == "max" else np.minimum).accumulate
    pyplot = import_pyplot()
    figure, ax = pyplot.subplots(figsize=(7, 4), layout="constrained")
    ax.plot(numbers, scores, "o", color="gray", label="trial")
    ax.step(numbers, best(scores), "-", where="post", color="black", label="best")
    if numbers and numbers[0] == 0:
        ax.axhline(scores[0], linestyle=":", color="black", label="before the search")
    ax.set(xlabel="trial", ylabel=objective.name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def draw_dimensions(
    trials: list[Any], objective: Any, path: str | PathLike[str]
) -> None:
    """Draws each hyperparameter with numerical values against the score.

    Args:
        trials: Completed trials, the best first; its value is marked.
        objective: The oracle's objective.
        path: File to write.
    """
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


def draw_surfaces(rule_bases: Mapping[str | PathLike[str], RuleBase]) -> None:
    """Draws control surfaces, all with the same scale of greys.

    Args:
        rule_bases: Rule bases with the same outputs, by the file to write.
    """
    drawn = {path: plots.plot_surface(base) for path, base in rule_bases.items()}
    for panels in zip(*drawn.values(), strict=True):
        meshes = [panel.collections[0] for panel in panels]
        grey = np.concatenate([np.ravel(mesh.get_array()) for mesh in meshes])
        for mesh in meshes:
            mesh.set_clim(grey.min(), grey.max())
    for path, axes in drawn.items():
        axes[0].figure.savefig(path, dpi=80)
        import_pyplot().close(axes[0].figure)
