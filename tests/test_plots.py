"""The pictures show what the rule base and the history say."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from keras_fuzzyhess import FuzzyHessMonitor, plots
from keras_fuzzyhess.fuzzy import control_surface, default_rule_base, paper_rule_base
from keras_fuzzyhess.fuzzy.default_rules import FLAT
from keras_fuzzyhess.plot_parts import LABELS
from tests.test_monitor import compiled, fit

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RULES = default_rule_base()
RECORDS = 30
HISTORY = {
    "step": list(range(10, 10 * RECORDS + 1, 10)),
    "loss": list(np.geomspace(2.0, 0.02, RECORDS)),
    "gain": list(np.linspace(1.0, 2.0, RECORDS)),
    "beta_3": list(np.linspace(0.9, 0.99, RECORDS)),
    "loss_trend": list(np.linspace(1.0, -0.2, RECORDS)),
    "loss_fall": list(np.linspace(1.0, 0.4, RECORDS)),
    "progress": list(np.linspace(0.0, 1.0, RECORDS)),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("rule_base", [RULES, paper_rule_base()], ids=lambda r: r.name)
def test_memberships_have_a_line_and_a_name_for_each_term(rule_base):
    axes = plots.plot_memberships(rule_base)
    variables = rule_base.inputs + rule_base.outputs
    assert axes.shape == (2, len(rule_base.inputs))
    assert [ax.axison for ax in axes.flat] == [
        place < len(variables) for place in range(axes.size)
    ]
    for ax, variable in zip(axes.flat, variables, strict=False):
        assert [text.get_text() for text in ax.texts] == list(variable.term_names)
        assert len(ax.lines) == len(variable.terms)
        assert variable.name.replace("_", " ").split()[0] in ax.get_xlabel()
        assert ax.get_ylabel() == "membership (0 to 1)"
    triangle = axes[0, 0].lines[1].get_xdata()
    np.testing.assert_array_equal(triangle, rule_base.inputs[0].corners("flat"))


@pytest.mark.parametrize("law", ["rate", "direct"])
def test_surface_shows_the_tables_values(law):
    rule_base = {"rate": RULES, "direct": paper_rule_base()}[law]
    surface = control_surface(rule_base)
    for given in (rule_base, surface):
        axes = plots.plot_surface(given)
        assert [ax.get_title() for ax in axes] == list(surface.tables)
        for ax, table in zip(axes, surface.tables.values(), strict=True):
            (mesh,) = ax.collections
            assert mesh.get_array().min() == pytest.approx(table.min(), rel=1e-4)
            assert mesh.get_array().max() == pytest.approx(table.max(), rel=1e-4)
            assert not ax.lines, "no history, no path"
            assert "progress" in ax.get_xlabel() and "trend" in ax.get_ylabel()
            unit = mesh.colorbar.ax.get_ylabel()
            assert unit.startswith(ax.get_title().replace("gain_rate", "gain rate"))


def test_surface_has_the_path_of_the_training():
    for ax in plots.plot_surface(RULES, HISTORY):
        path = ax.lines[0]
        np.testing.assert_array_equal(path.get_xdata(), HISTORY["progress"])
        np.testing.assert_array_equal(path.get_ydata(), HISTORY["loss_trend"])
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels == ["start", "end"]


@pytest.mark.parametrize("has_fall", [True, False])
def test_history_shows_every_decision_over_the_steps(has_fall):
    names = ["loss", "loss_trend", "loss_fall", "gain", "beta_3"]
    history = dict(HISTORY)
    if not has_fall:  # of an older version
        names.remove("loss_fall")
        del history["loss_fall"]
    axes = plots.plot_history(history)
    for ax, name in zip(axes, names, strict=True):
        (line,) = ax.lines
        np.testing.assert_array_equal(line.get_xdata(), HISTORY["step"])
        np.testing.assert_array_equal(line.get_ydata(), HISTORY[name])
        assert ax.get_ylabel().startswith(LABELS[name].splitlines()[0])
    assert [ax.get_yscale() for ax in axes] == ["log"] + ["linear"] * (len(names) - 1)
    assert axes[-1].get_xlabel().startswith("step")
    assert not axes[0].get_xlabel(), "one label for the shared axis"


def test_rule_activity_is_how_strongly_each_rule_fired():
    ax = plots.plot_rule_activity(RULES, HISTORY)
    mesh = ax.collections[0]
    strengths = np.asarray(mesh.get_array())
    assert strengths.shape == (len(RULES.rules), RECORDS)
    names = [label.get_text() for label in ax.get_yticklabels()]
    first = names.index("falling, early, kept: raise, short")
    assert strengths[first, 0] == 1.0, "the loss falls clearly at the very start"
    last = names.index("flat, late: hold, long")
    assert strengths[last, -1] == pytest.approx(HISTORY["loss_trend"][-1] / FLAT)
    assert (strengths.max(axis=0) > 0).all(), "some rule fires everywhere"
    assert ax.get_xlim() == (0, HISTORY["step"][-1])


def test_rule_activity_tells_of_promises_that_are_broken():
    broken = HISTORY | {"loss_fall": [-1.0] * RECORDS}
    rows = {}
    for name, history in {"as it was": HISTORY, "broken": broken}.items():
        ax = plots.plot_rule_activity(RULES, history)
        labels = [label.get_text() for label in ax.get_yticklabels()]
        strengths = np.asarray(ax.collections[0].get_array())
        rows[name] = dict(zip(labels, strengths, strict=True))
    kept, stalled = "falling, early, kept: raise, short", "falling, early, stalled: "
    stalled += "hold, short"
    assert rows["as it was"][kept][0] == rows["broken"][stalled][0] == 1.0
    assert rows["as it was"][stalled][0] == rows["broken"][kept][0] == 0.0


def test_rule_activity_of_two_inputs_needs_no_more_of_the_history():
    history = {name: HISTORY[name] for name in ("step", "loss_trend", "progress")}
    ax = plots.plot_rule_activity(paper_rule_base(), history)
    assert np.asarray(ax.collections[0].get_array()).max() > 0.9
    with pytest.raises(ValueError, match="Received: none of loss_fall"):
        plots.plot_rule_activity(RULES, history)


def test_surface_is_drawn_where_promises_are_kept():
    for ax, name in zip(
        plots.plot_surface(RULES), ("gain_rate", "beta_3"), strict=True
    ):
        drawn = np.asarray(ax.collections[0].get_array())
        surface = control_surface(RULES)
        grid = np.linspace(-1, 1, plots.GRID), np.linspace(0, 1, plots.GRID)
        kept = surface.evaluate(*grid, 1.0)[name]
        np.testing.assert_allclose(drawn, kept, atol=1e-6)


def test_pictures_of_a_diverged_training_and_of_one_record():
    diverged = HISTORY | {
        name: [*HISTORY[name][:-1], float("nan")] for name in ("loss", "loss_trend")
    }
    alone = {name: values[:1] for name, values in HISTORY.items()}
    for history in (diverged, alone):
        for axes in (
            plots.plot_surface(RULES, history)[0],
            plots.plot_history(history)[0],
            plots.plot_rule_activity(RULES, history),
        ):
            axes.figure.canvas.draw()


def test_takes_the_history_of_a_monitor():
    monitor = FuzzyHessMonitor(every=1)
    fit(compiled(), monitor)
    plots.plot_history(monitor.history)
    ax = plots.plot_rule_activity(RULES, monitor.history)
    assert ax.get_xlim() == (0, 12)


@pytest.mark.parametrize(
    "draw", [plots.plot_history, lambda h: plots.plot_rule_activity(RULES, h)]
)
def test_refuses_what_is_no_history(draw):
    with pytest.raises(TypeError, match=r"dict of lists.*Received.*FuzzyHessMonitor"):
        draw(FuzzyHessMonitor())
    with pytest.raises(ValueError, match=r"Received: none of step.*FuzzyHessMonitor"):
        draw({})
    with pytest.raises(ValueError, match=r"equal lengths.*Received: lengths 29 of"):
        draw(HISTORY | {"step": HISTORY["step"][1:]})


def test_refuses_what_is_no_rule_base():
    surface = control_surface(RULES)
    with pytest.raises(TypeError, match=r"RuleBase.*ControlSurface.*plot_surface"):
        plots.plot_memberships(surface)
    with pytest.raises(TypeError, match=r"must be a RuleBase.*int"):
        plots.plot_rule_activity(3, HISTORY)
    with pytest.raises(TypeError, match="RuleBase"):
        plots.plot_surface(3)


@pytest.mark.slow
def test_says_what_to_install():
    code = (
        "import sys; sys.modules['matplotlib'] = None;"
        "from keras_fuzzyhess import plots; from keras_fuzzyhess.fuzzy import *;"
        "plots.plot_memberships(default_rule_base())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert "ImportError: `keras_fuzzyhess.plots` needs" in result.stderr
    assert 'pip install "keras-fuzzyhess[plots]"' in result.stderr
