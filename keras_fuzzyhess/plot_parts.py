"""What the pictures share: labels with units, checks, and pieces of drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy import RuleBase, Variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Mapping[str, Sequence[float]]
"""What `FuzzyHessMonitor.history` holds: one list for each name, of equal lengths."""

LABELS = {
    "loss_trend": "loss trend\n(no unit; falling > 0)",
    "loss_fall": "loss fall\n(share of the promised)",
    "progress": "progress\n(share of the training done)",
    "gain_rate": "gain rate\n(relative change per step)",
    "gain": "gain\n(factor of the step)",
    "beta_3": "beta_3\n(momentum, no unit)",
    "loss": "loss\n(epoch's mean so far)",
    "step": "step (updates of the weights)",
}
"""Labels of axes, with units."""

STYLES = ("-", "--", "-.", ":")
"""Styles of neighbouring terms, to tell them apart without colours."""


def import_pyplot() -> Any:
    """`matplotlib.pyplot`, imported now and not before.

    Raises:
        ImportError: if it cannot be imported.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "`keras_fuzzyhess.plots` needs matplotlib. Install it with "
            '`pip install "keras-fuzzyhess[plots]"`.'
        ) from error
    return pyplot


def check_rule_base(rule_base: Any) -> None:
    """Raises a `TypeError` unless it is a `RuleBase`, which has terms and rules."""
    if not isinstance(rule_base, RuleBase):
        raise TypeError(
            "`rule_base` must be a RuleBase, whose terms and rules can be drawn. "
            f"Received: an object of type {type(rule_base).__name__}. Of a surface or "
            "a ControlSystem draw `plot_surface`; read a file with `RuleBase.load`."
        )


def columns_of(history: Any, *names: str) -> list[np.ndarray]:
    """The named columns of a history as float64 arrays [K], K > 0.

    Raises:
        TypeError: if `history` is no mapping.
        ValueError: if a column is missing or empty, or lengths differ.

    Example:

    >>> columns_of({"step": [10, 20], "gain": [1.0, 0.9]}, "step")
    [array([10., 20.])]
    """
    if not isinstance(history, Mapping):
        raise TypeError(
            "`history` must be a dict of lists, `FuzzyHessMonitor.history`. "
            f"Received: an object of type {type(history).__name__}"
        )
    missing = [name for name in names if not len(history.get(name, ()))]
    if missing:
        raise ValueError(
            "`history` must have records of " + ", ".join(names) + ". "
            f"Received: none of {', '.join(missing)}. Train with a `FuzzyHessMonitor` "
            "in `callbacks` and give its `history`."
        )
    columns = [np.asarray(history[name], np.float64) for name in names]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise ValueError(
            "`history` must have lists of equal lengths. Received: lengths "
            + ", ".join(f"{len(history[name])} of {name}" for name in names)
        )
    return columns


def draw_terms(ax: Axes, variable: Variable) -> None:
    """Draws the membership functions of one variable, each with its name."""
    for number, term in enumerate(variable.terms):
        corners = variable.corners(term.name)
        shade = ("black", "dimgray")[number % 2]
        # A shoulder goes on beyond the range: no edge is drawn where the range ends.
        shown = slice(corners[1] == variable.low, 4 - (corners[2] == variable.high))
        ax.plot(
            corners[shown],
            (0, 1, 1, 0)[shown],
            STYLES[number % len(STYLES)],
            color=shade,
        )
        # Where peaks are close together, level names would overlap.
        ax.annotate(
            term.name,
            ((corners[1] + corners[2]) / 2, 1.03),
            rotation=60,
            fontsize="small",
            color=shade,
            annotation_clip=False,
        )
    ax.locator_params(axis="x", nbins=6)
    ax.set(
        xlabel=LABELS[variable.name],
        ylabel="membership (0 to 1)",
        ylim=(0, 1.02),
        yticks=(0, 0.5, 1),
    )
    ax.spines[["top", "right"]].set_visible(False)


def draw_path(ax: Axes, progress: np.ndarray, trend: np.ndarray) -> None:
    """A path that can be seen on dark and on light ground."""
    ax.plot(progress, trend, color="white", linewidth=2.5)
    ax.plot(progress, trend, color="black", linewidth=1.0)
    for at, marker, label in ((0, "o", "start"), (-1, "s", "end")):
        ax.plot(
            progress[at],
            trend[at],
            marker,
            color="white",
            markeredgecolor="black",
            markersize=8,
            label=label,
            clip_on=False,
        )
    ax.legend(loc="lower right")
