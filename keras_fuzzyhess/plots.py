"""Pictures of a rule base and of what it did in a training.

All can be read in grey. Needs matplotlib, which is imported only when one is drawn:
`pip install "keras-fuzzyhess[plots]"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from keras_fuzzyhess.fuzzy import (
    ControlSurface,
    RuleBase,
    control_surface,
    firing_strengths,
)
from keras_fuzzyhess.plot_parts import (
    LABELS,
    History,
    check_rule_base,
    columns_of,
    draw_path,
    draw_terms,
    import_pyplot,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from skfuzzy.control import ControlSystem

__all__ = ["plot_history", "plot_memberships", "plot_rule_activity", "plot_surface"]

GRID = 101
"""Points of each axis of a heat map."""


def plot_memberships(rule_base: RuleBase) -> np.ndarray:
    """Draws the terms of all variables: what the words of the rules mean.

    Inputs are drawn over their whole range, outputs where they have terms.

    Args:
        rule_base: A `RuleBase`.

    Returns:
        Array [2, 2] of matplotlib's axes, inputs above, outputs below. With three
        inputs it is [2, 3], and the last place below is empty. Save with
        `axes[0, 0].figure.savefig(path)`.

    Raises:
        TypeError: if `rule_base` is no `RuleBase`.
        ImportError: if matplotlib is not installed.

    Example:

    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> axes = plot_memberships(default_rule_base())
    >>> len(axes[1, 0].lines)  # the terms of gain_rate
    3
    """
    check_rule_base(rule_base)
    columns = len(rule_base.inputs)
    figure, axes = import_pyplot().subplots(
        2, columns, figsize=(4.5 * columns, 6), layout="constrained"
    )
    figure.suptitle(f"Terms of the rule base '{rule_base.name}'")
    variables = rule_base.inputs + rule_base.outputs
    for ax in axes.flat[len(variables) :]:
        ax.set_axis_off()
    for ax, variable in zip(axes.flat, variables, strict=False):
        draw_terms(ax, variable)
        if variable in rule_base.inputs:
            ax.set_xlim(variable.low, variable.high)
    return axes


def plot_surface(
    rule_base: RuleBase | ControlSurface | ControlSystem | str | PathLike[str],
    history: History | None = None,
    loss_fall: float = 1.0,
) -> np.ndarray:
    """Draws the control surface: what the optimizer does in each situation.

    One heat map for each output, over `progress` and `loss_trend`, for one value of
    `loss_fall`. With a history the path of that training through the map is drawn over
    it.

    Args:
        rule_base: A `RuleBase`, a `ControlSurface`, or anything else that
            `keras_fuzzyhess.fuzzy.control_surface` takes.
        history: `FuzzyHessMonitor.history` of a training. Defaults to no path.
        loss_fall: Float in [-1, 1]. Does not count for a rule base without this input.
            Defaults to `1.0`: the loss falls as the trend promises.

    Returns:
        Array [2] of matplotlib's axes, for the gain's output and `beta_3`.

    Raises:
        TypeError: if `rule_base` or `history` is of another type.
        ValueError: if the history is empty or lacks a name.
        ImportError: if matplotlib is not installed.

    Example:

    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> path = {"progress": [0.0, 0.5, 1.0], "loss_trend": [1.0, 0.4, 0.0]}
    >>> gain_rate, beta_3 = plot_surface(default_rule_base(), path)
    >>> beta_3.get_title()
    'beta_3'
    """
    surface = control_surface(rule_base)
    path = None
    if history is not None:
        path = columns_of(history, "progress", "loss_trend")
    trend, progress = (
        np.linspace(surface.knots[name][0], surface.knots[name][-1], GRID)
        for name in ("loss_trend", "progress")
    )
    figure, axes = import_pyplot().subplots(
        1, 2, figsize=(10, 4.2), layout="constrained"
    )
    figure.suptitle(f"Control surface of '{surface.name}'")
    for ax, (name, values) in zip(
        axes, surface.evaluate(trend, progress, loss_fall).items(), strict=True
    ):
        mesh = ax.pcolormesh(progress, trend, values, cmap="gray", rasterized=True)
        figure.colorbar(mesh, ax=ax, label=LABELS[name].replace("\n", " "))
        ax.set(title=name, xlabel=LABELS["progress"], ylabel=LABELS["loss_trend"])
        if path is not None:
            draw_path(ax, *path)
    return axes


def plot_history(history: History) -> np.ndarray:
    """Draws what the optimizer decided over the steps of a training, and on what.

    Loss and gain get a logarithmic axis where they are positive and span more than a
    factor of ten. The step length is not drawn, for it stays what the first step made
    it: the gain tells how the length of the steps changes, but for the end of a plan,
    where it is held and they get shorter.

    Args:
        history: `FuzzyHessMonitor.history` of a training.

    Returns:
        Array [5] of matplotlib's axes, for loss, loss trend, loss fall, gain and
        `beta_3`; [4], without the loss fall, if the history does not have it.

    Raises:
        TypeError: if `history` is no mapping.
        ValueError: if it is empty or lacks a name.
        ImportError: if matplotlib is not installed.

    Example:

    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> names = ("step", "loss", "loss_trend", "gain", "beta_3")
    >>> axes = plot_history({name: [0.1, 0.5] for name in names})
    >>> [ax.get_yscale() for ax in axes]
    ['linear', 'linear', 'linear', 'linear']
    """
    names = ["loss", "loss_trend", "loss_fall", "gain", "beta_3"]
    if isinstance(history, Mapping) and "loss_fall" not in history:
        names.remove("loss_fall")
    steps, *columns = columns_of(history, "step", *names)
    figure, axes = import_pyplot().subplots(
        len(names), 1, sharex=True, figsize=(7, 1.9 * len(names)), layout="constrained"
    )
    figure.suptitle("What the optimizer decided")
    for ax, name, values in zip(axes, names, columns, strict=True):
        ax.plot(steps, values, color="black", marker="." if len(steps) < 50 else "")
        # Broken once more, for these axes are low.
        ax.set_ylabel(LABELS[name].replace("; ", ";\n"))
        if name in ("loss", "gain") and _spans_a_decade(values):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
        if name == "loss_fall":  # mostly constant, which has no limits of its own
            ax.set_ylim(-1.1, 1.1)
        ax.grid(color="lightgray")
    axes[-1].set_xlabel(LABELS["step"])
    figure.align_ylabels(axes)
    return axes


def plot_rule_activity(rule_base: RuleBase, history: History) -> Axes:
    """Draws how strongly each rule fired over a training.

    A row for each rule. The darker a record, the stronger the rule fired then: its
    weight times the smallest membership of the inputs that it names.

    Args:
        rule_base: The `RuleBase` that drove the training.
        history: `FuzzyHessMonitor.history` of the training.

    Returns:
        matplotlib's axes.

    Raises:
        TypeError: if `rule_base` is no `RuleBase` or `history` no mapping.
        ValueError: if the history is empty or lacks a name.
        ImportError: if matplotlib is not installed.

    Example:

    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> path = {"step": [1, 2], "progress": [0.5, 1.0], "loss_trend": [0.4, 0.0]}
    >>> path["loss_fall"] = [1.0, 1.0]
    >>> axes = plot_rule_activity(default_rule_base(), path)
    >>> axes.get_yticklabels()[0].get_text()
    'rising, early: cut, short'
    """
    check_rule_base(rule_base)
    inputs = [variable.name for variable in rule_base.inputs]
    steps, *values = columns_of(history, "step", *inputs)
    strengths = firing_strengths(rule_base, *values)
    # A record stands for the steps since the one before.
    first = steps[0] - (steps[1] - steps[0] if len(steps) > 1 else 1.0)
    rows = np.arange(len(rule_base.rules) + 1) - 0.5
    figure, ax = import_pyplot().subplots(
        figsize=(9, 1.5 + 0.3 * len(rule_base.rules)), layout="constrained"
    )
    mesh = ax.pcolormesh(
        np.append(first, steps),
        rows,
        strengths,
        cmap="Greys",
        vmin=0.0,
        vmax=1.0,
        rasterized=True,
    )
    figure.colorbar(mesh, ax=ax, label="firing strength (0 to 1)")
    ax.set_yticks(range(len(rule_base.rules)), _rule_labels(rule_base))
    ax.hlines(rows[1:-1], first, steps[-1], color="lightgray", linewidth=0.8)
    ax.invert_yaxis()
    ax.set(
        title=f"Activity of the rules of '{rule_base.name}'",
        xlabel=LABELS["step"],
        ylabel="rule (if: then)",
    )
    return ax


def _spans_a_decade(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() > 0 and known.max() > 10 * known.min())


def _rule_labels(rule_base: RuleBase) -> list[str]:
    return [
        ": ".join(
            ", ".join(side[v.name] for v in variables if v.name in side)
            for side, variables in (
                (rule.antecedent, rule_base.inputs),
                (rule.consequent, rule_base.outputs),
            )
        )
        for rule in rule_base.rules
    ]
