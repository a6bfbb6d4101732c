import copy
import itertools
import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
from skfuzzy.control import ControlSystemSimulation

from keras_fuzzyhess.fuzzy import (
    ControlSurface,
    compile_surface,
    control_surface,
    default_rule_base,
    infer,
    paper_rule_base,
    restore_rule_base,
)
from keras_fuzzyhess.fuzzy.signals import INPUTS
from tests.helpers.rule_bases import evaluated

TOLERANCES = {2: 1e-3, 3: 5e-3}
"""Deviation from scikit-fuzzy, as a share of the range of the output's variable, by the
number of inputs."""


@pytest.fixture(scope="module")
def surface():
    return compile_surface(default_rule_base())


@pytest.fixture
def table():
    return {
        "name": "table",
        "knots": {"loss_trend": [-1.0, 0.0, 1.0], "progress": [0.0, 1.0]},
        "tables": {
            "gain_rate": [[0.0, 0.1], [0.2, 0.3], [0.4, 0.9]],
            "beta_3": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
        },
    }


@pytest.fixture
def table_of_three(table):
    """Tables of the corners of the cube, in the order of binary numbers."""
    rates = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9])
    table["knots"] = {name: [0.0, 1.0] for name in INPUTS}
    table["tables"] = {
        "gain_rate": rates.reshape(2, 2, 2),
        "beta_3": 0.5 * rates.reshape(2, 2, 2),
    }
    return table


def points_off_the_knots(inputs):
    """Points over the square or cube and beyond its borders, none of them special."""
    rng = np.random.default_rng(7)
    trend = np.concatenate([[-50.0, -1.0, 0.0, 1.0, 50.0], rng.uniform(-1.1, 1.1, 45)])
    progress = np.concatenate([[-50.0, 0.0, 1.0, 50.0], rng.uniform(-0.1, 1.1, 46)])
    points = [a.ravel() for a in np.meshgrid(trend, progress)]
    falls = rng.choice(np.append(rng.uniform(-1.1, 1.1, 200), [-50.0, 50.0]), 2500)
    return [*points, falls][:inputs]


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_look_up_agrees_with_scikit_fuzzy_everywhere(make, jit_compile):
    rule_base = make()
    surface = compile_surface(rule_base)
    names = [variable.name for variable in rule_base.inputs]

    @tf.function(jit_compile=jit_compile)
    def look_up_each(points):
        """One after the other, as a training looks them up."""
        return tf.map_fn(
            lambda point: surface.look_up(*tf.unstack(point)),
            points,
            fn_output_signature=dict.fromkeys(surface.tables, tf.float32),
        )

    points = points_off_the_knots(len(names))
    simulation = ControlSystemSimulation(rule_base.to_control_system())
    for name, values in zip(names, points, strict=True):
        simulation.input[name] = values
    simulation.compute()
    found = look_up_each(tf.constant(np.stack(points, 1), tf.float32))
    for output in rule_base.outputs:
        values = found[output.name].numpy()
        assert np.ptp(values) > 0.05 * (output.high - output.low)
        np.testing.assert_allclose(
            values,
            simulation.output[output.name],
            rtol=0,
            atol=TOLERANCES[len(names)] * (output.high - output.low),
        )


def test_the_look_up_agrees_with_scikit_fuzzys_scalar_interface(small):
    surface = compile_surface(small)
    simulation = ControlSystemSimulation(small.to_control_system())
    for trend, progress in [(-0.4, 0.3), (0.1, 0.51), (0.47, 0.79), (1.0, 0.0)]:
        simulation.input["loss_trend"] = trend
        simulation.input["progress"] = progress
        simulation.compute()
        outputs = surface.look_up(trend, progress)
        for output in small.outputs:
            assert float(outputs[output.name]) == pytest.approx(
                simulation.output[output.name],
                abs=surface.deviation * 2 * (output.high - output.low),
            )


@pytest.mark.parametrize(
    "make, points",
    [(paper_rule_base, (997, 991)), (default_rule_base, (199, 197, 41))],
)
def test_the_deviation_is_what_it_says(make, points):
    rule_base = make()
    surface = compile_surface(rule_base)
    grid = [
        np.linspace(v.low, v.high, count)
        for v, count in zip(rule_base.inputs, points, strict=True)
    ]
    exact, found = infer(rule_base, *grid), evaluated(surface, *grid)
    worst = max(
        np.abs(found[o.name] - exact[o.name]).max() / (o.high - o.low)
        for o in rule_base.outputs
    )
    assert worst < TOLERANCES[len(grid)]
    assert surface.deviation == pytest.approx(worst, rel=0.3)


def test_knots_lie_on_all_breakpoints(surface):
    for variable in default_rule_base().inputs:
        assert set(np.float32(variable.breakpoints)) <= set(
            surface.knots[variable.name]
        )


def test_linear_along_each_of_two_inputs_by_hand(table):
    surface = ControlSurface(**table)
    for trend, progress, expected in [
        (0.0, 0.0, 0.2),
        (0.0, 1.0, 0.3),
        (0.5, 0.0, 0.3),
        (0.5, 0.5, (0.2 + 0.3 + 0.4 + 0.9) / 4),
        (
            -0.75,
            0.25,
            0.75 * (0.75 * 0.0 + 0.25 * 0.2) + 0.25 * (0.75 * 0.1 + 0.25 * 0.3),
        ),
        (1.0, 1.0, 0.9),
        (7.0, -3.0, 0.4),
    ]:
        found = surface.look_up(trend, progress)["gain_rate"]
        assert float(found) == pytest.approx(expected, abs=1e-6)
        plain = surface.evaluate([trend], [progress])["gain_rate"]
        assert plain.item() == pytest.approx(expected, abs=1e-6)


def test_linear_along_each_of_three_inputs_by_hand(table_of_three):
    surface = ControlSurface(**table_of_three)
    for point, expected in [
        ((0.0, 0.0, 0.0), 0.0),
        ((0.0, 0.0, 1.0), 0.1),
        ((0.0, 1.0, 0.0), 0.2),
        ((1.0, 0.0, 0.0), 0.4),
        ((1.0, 1.0, 1.0), 0.9),
        ((0.0, 0.25, 0.0), 0.25 * 0.2),
        ((0.0, 0.0, 0.75), 0.75 * 0.1),
        ((0.5, 0.5, 0.5), (0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.6 + 0.9) / 8),
        ((1.0, 0.5, 0.25), (0.75 * (0.4 + 0.6) + 0.25 * (0.5 + 0.9)) / 2),
        ((7.0, -3.0, 9.0), 0.5),
    ]:
        found = surface.look_up(*point)
        assert float(found["gain_rate"]) == pytest.approx(expected, abs=1e-6)
        assert float(found["beta_3"]) == pytest.approx(expected / 2, abs=1e-6)
        trend, progress, fall = point
        plain = surface.evaluate([trend], [progress], fall)["gain_rate"]
        assert plain.item() == pytest.approx(expected, abs=1e-6)


def test_the_promise_counts_as_kept_unless_told_otherwise(table_of_three):
    surface = ControlSurface(**table_of_three)
    assert float(surface.look_up(0.0, 0.0)["gain_rate"]) == pytest.approx(0.1)
    assert surface.evaluate([0.0], [0.0])["gain_rate"].item() == pytest.approx(0.1)


def test_a_surface_of_two_inputs_ignores_the_fall_of_the_loss(table):
    surface = ControlSurface(**table)
    for fall in (-1.0, 0.3, np.nan):
        for name, value in surface.look_up(0.5, 0.25).items():
            assert float(surface.look_up(0.5, 0.25, fall)[name]) == float(value)
        for name, values in surface.evaluate([0.5], [0.25]).items():
            assert surface.evaluate([0.5], [0.25], fall)[name] == values


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_not_a_number_gives_not_a_number_and_infinity_the_border(make, jit_compile):
    surface = compile_surface(make())
    look_up = tf.function(surface.look_up, jit_compile=jit_compile)

    def at(*point):
        outputs = look_up(*(tf.constant(value, tf.float32) for value in point))
        return [float(value) for value in outputs.values()]

    inputs = len(surface.knots)
    assert np.isfinite(at(*(0.5, 0.5, 0.3)[:inputs])).all()
    for known in itertools.product((True, False), repeat=inputs):
        if not all(known):
            assert np.isnan(
                at(*np.where(known, (0.5, 0.5, 0.3)[:inputs], np.nan))
            ).all()
    for signs in itertools.product((1.0, -1.0), repeat=inputs):
        border = np.clip(signs, (-1.0, 0.0, -1.0)[:inputs], 1.0)
        assert at(*np.multiply(signs, np.inf)) == at(*border)


def test_the_graph_holds_the_table_as_a_constant_and_few_operations(surface):
    scalar = tf.TensorSpec([], tf.float32)
    graph = tf.function(surface.look_up).get_concrete_function(*[scalar] * 3).graph
    kinds = [operation.type for operation in graph.get_operations()]
    working = [k for k in kinds if k not in ("Const", "Placeholder", "Identity")]
    assert len(working) <= 24
    assert not graph.captures
    assert not {"PyFunc", "EagerPyFunc", "ReadVariableOp", "While", "MatMul"} & set(
        kinds
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_any_float_comes_in_and_float32_scalars_go_out(surface, dtype):
    point = (0.5, 0.25, 0.375)
    outputs = surface.look_up(*(tf.constant(value, dtype) for value in point))
    expected = surface.look_up(*point)
    assert list(outputs) == ["gain_rate", "beta_3"]
    for name, value in outputs.items():
        assert value.dtype == tf.float32
        assert value.shape == ()
        assert float(value) == float(expected[name])


def test_a_surface_survives_json(surface):
    data = json.loads(json.dumps(surface.to_dict(), allow_nan=False))
    assert ControlSurface.from_dict(data) == surface
    assert restore_rule_base(data) == surface
    rule_base = default_rule_base()
    assert restore_rule_base(rule_base.to_dict()) == rule_base
    assert surface != compile_surface(paper_rule_base())


def test_a_surface_cannot_be_changed(surface):
    with pytest.raises(AttributeError):
        surface.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        surface.tables["beta_3"][0, 0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        surface.knots["progress"][0] = 0.5
    with pytest.raises(TypeError):
        surface.tables["beta_3"] = surface.tables["gain_rate"]


def test_a_surface_can_be_copied(surface):
    for twin in (copy.deepcopy(surface), pickle.loads(pickle.dumps(surface))):
        assert twin == surface
        assert float(twin.look_up(0.3, 0.6, 0.4)["beta_3"]) == pytest.approx(
            surface.evaluate([0.3], [0.6], 0.4)["beta_3"].item(), abs=1e-6
        )


@pytest.mark.parametrize(
    "side, name, value, error, named",
    [
        ("knots", "progress", [0.0, 0.0, 1.0], ValueError, ["progress", "ascend"]),
        ("knots", "progress", [0.5, 0.5 + 1e-12], ValueError, ["progress", "ascend"]),
        ("knots", "progress", [0.0], ValueError, ["progress", "257"]),
        ("knots", "progress", [[0.0, 1.0]], ValueError, ["progress", "(1, 2)"]),
        ("knots", "progress", [0.0, 1.5], ValueError, ["progress", "[0, 1]", "1.5"]),
        ("knots", "loss_trend", [0.0, np.nan, 1.0], ValueError, ["loss_trend", "nan"]),
        ("knots", "loss_trend", [-2, 0, 1], ValueError, ["loss_trend", "-2.0"]),
        ("knots", "loss_trend", ["a", "b", "c"], TypeError, ["loss_trend", "numbers"]),
        ("knots", "loss_trend", [False, True], TypeError, ["loss_trend", "numbers"]),
        ("tables", "beta_3", [[0.5, 0.5]], ValueError, ["beta_3", "(3, 2)"]),
        ("tables", "beta_3", [[0.5], [0.5, 0.5]], ValueError, ["beta_3", "rows"]),
        ("tables", "beta_3", [[0.5, 1.0]] * 3, ValueError, ["beta_3", "[0, 1)", "1.0"]),
        ("tables", "beta_3", [[0.5, -0.1]] * 3, ValueError, ["beta_3", "-0.1"]),
        ("tables", "gain_rate", [[0.0, np.nan]] * 3, ValueError, ["gain_rate", "nan"]),
        ("tables", "gain_rate", [[0.0, 1e300]] * 3, ValueError, ["gain_rate", "inf"]),
        ("tables", "gain_rate", [[None, 0.0]] * 3, TypeError, ["gain_rate", "numbers"]),
        ("tables", "gain", [[1.0, 1.0]] * 3, ValueError, ["'table'", "'gain'"]),
        (
            "knots",
            "epoch",
            [0.0, 1.0],
            ValueError,
            ["'table'", "'loss_trend' and 'progress'", "may have 'loss_fall'", "epoch"],
        ),
        ("knots", "loss_fall", [0.0, 1.0], ValueError, ["gain_rate", "(3, 2, 2)"]),
    ],
)
def test_a_broken_surface_is_refused_by_name(table, side, name, value, error, named):
    check_refused(table, side, name, value, error, named)


@pytest.mark.parametrize(
    "side, name, value, named",
    [
        ("knots", "loss_fall", [0.0, 1.5], ["loss_fall", "[-1, 1]", "1.5"]),
        ("knots", "loss_fall", [1.0, 0.0], ["loss_fall", "ascend"]),
        ("knots", "loss_fall", np.linspace(0, 1, 50), ["loss_fall", "2 to 49"]),
        ("knots", "progress", np.linspace(0, 1, 50), ["progress", "2 to 49"]),
        ("knots", "loss_fall", [-1, 0, 1], ["gain_rate", "(2, 2, 3)"]),
        ("tables", "beta_3", [[0.5, 0.5]] * 2, ["beta_3", "(2, 2, 2)"]),
        ("tables", "beta_3", [[[0.5, 1.0]] * 2] * 2, ["beta_3", "[0, 1)", "1.0"]),
    ],
)
def test_a_broken_surface_of_three_inputs_is_refused_by_name(
    table_of_three, side, name, value, named
):
    check_refused(table_of_three, side, name, value, ValueError, named)


@pytest.mark.parametrize(
    "left", [["loss_trend"], ["progress", "loss_fall"], ["loss_trend", "loss_fall"]]
)
def test_knots_of_too_few_inputs_are_refused(table_of_three, left):
    table_of_three["knots"] = {name: [0.0, 1.0] for name in left}
    with pytest.raises(ValueError, match="'loss_trend' and 'progress', and may have"):
        ControlSurface(**table_of_three)


@pytest.mark.parametrize("knots", [(257, 257), (49, 49, 49)])
def test_as_many_knots_as_there_may_be_are_taken_in_any_order(knots):
    table = np.full(knots, 0.5)
    table[0, -1] = 0.25
    axes = [
        (name, np.linspace(0, 1, count))
        for name, count in zip(INPUTS, knots, strict=False)
    ]
    tables = {"beta_3": table, "gain_rate": table}
    surface = ControlSurface("large", dict(axes[::-1]), tables)
    assert list(surface.knots) == [name for name, _ in axes]
    assert float(surface.look_up(0.0, 1.0)["gain_rate"]) == 0.25
    assert float(surface.look_up(0.1, 1.0)["gain_rate"]) == 0.5


def check_refused(table, side, name, value, error, named):
    table[side] = table[side] | {name: value}
    with pytest.raises(error) as refusal:
        ControlSurface(**table)
    for fragment in named:
        assert fragment in str(refusal.value)
    data = {"schema_version": 1, "kind": "control_surface", "deviation": None, **table}
    with pytest.raises(ValueError):
        ControlSurface.from_dict(data)


def test_a_gain_of_zero_is_refused(table):
    table["tables"]["gain"] = np.zeros((3, 2))
    del table["tables"]["gain_rate"]
    with pytest.raises(ValueError, match=r"gain .*\(0, 10\].*0.0"):
        ControlSurface(**table)


@pytest.mark.parametrize("junk", [None, 3, b"path", {"kind": "rule_base"}, object()])
def test_what_describes_no_fuzzy_system_is_a_type_error(junk):
    with pytest.raises(TypeError, match="RuleBase, the path.*ControlSystem"):
        control_surface(junk)


def test_every_description_of_a_system_is_taken(tmp_path, surface):
    path = tmp_path / "rules.json"
    default_rule_base().save(path)
    assert control_surface(path) == control_surface(str(path)) == surface
    assert control_surface(default_rule_base()) == surface
    assert control_surface(surface) is surface
    with pytest.raises(FileNotFoundError):
        control_surface(tmp_path / "absent.json")
    with pytest.raises(ValueError, match="rules.json"):
        path.write_text("{}")
        control_surface(path)
