import copy
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

TOLERANCE = 1e-3
"""Deviation from scikit-fuzzy, as a share of the range of the output's variable."""


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


def grid_off_the_knots():
    """Points over the square and beyond its borders, none of them special."""
    rng = np.random.default_rng(7)
    trend = np.concatenate([[-50.0, -1.0, 0.0, 1.0, 50.0], rng.uniform(-1.1, 1.1, 45)])
    progress = np.concatenate([[-50.0, 0.0, 1.0, 50.0], rng.uniform(-0.1, 1.1, 46)])
    return (a.ravel() for a in np.meshgrid(trend, progress))


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_look_up_agrees_with_scikit_fuzzy_everywhere(make, jit_compile):
    rule_base = make()
    surface = compile_surface(rule_base)

    @tf.function(jit_compile=jit_compile)
    def look_up_each(points):
        """One after the other, as a training looks them up."""
        return tf.map_fn(
            lambda point: surface.look_up(point[0], point[1]),
            points,
            fn_output_signature=dict.fromkeys(surface.tables, tf.float32),
        )

    trend, progress = grid_off_the_knots()
    simulation = ControlSystemSimulation(rule_base.to_control_system())
    simulation.input["loss_trend"], simulation.input["progress"] = trend, progress
    simulation.compute()
    found = look_up_each(tf.constant(np.stack([trend, progress], 1), tf.float32))
    for output in rule_base.outputs:
        values = found[output.name].numpy()
        assert np.ptp(values) > 0.05 * (output.high - output.low)
        np.testing.assert_allclose(
            values,
            simulation.output[output.name],
            rtol=0,
            atol=TOLERANCE * (output.high - output.low),
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


def test_the_deviation_is_what_it_says(surface):
    rule_base = default_rule_base()
    trend, progress = np.linspace(-1, 1, 997), np.linspace(0, 1, 991)
    exact, found = infer(rule_base, trend, progress), surface.evaluate(trend, progress)
    worst = max(
        np.abs(found[o.name] - exact[o.name]).max() / (o.high - o.low)
        for o in rule_base.outputs
    )
    assert worst < 0.001
    assert surface.deviation == pytest.approx(worst, rel=0.3)


def test_knots_lie_on_all_breakpoints(surface):
    for variable in default_rule_base().inputs:
        assert set(np.float32(variable.breakpoints)) <= set(
            surface.knots[variable.name]
        )


def test_bilinear_by_hand(table):
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


@pytest.mark.parametrize("jit_compile", [False, True])
def test_not_a_number_gives_not_a_number_and_infinity_the_border(surface, jit_compile):
    look_up = tf.function(surface.look_up, jit_compile=jit_compile)

    def at(trend, progress):
        outputs = look_up(tf.constant(trend, tf.float32), tf.constant(progress))
        return [float(value) for value in outputs.values()]

    for point in ((np.nan, 0.5), (0.5, np.nan), (np.nan, np.nan)):
        assert np.isnan(at(*point)).all()
    assert at(np.inf, -np.inf) == at(1.0, 0.0)
    assert at(-np.inf, np.inf) == at(-1.0, 1.0)


def test_the_graph_holds_the_table_as_a_constant_and_few_operations(surface):
    scalar = tf.TensorSpec([], tf.float32)
    graph = tf.function(surface.look_up).get_concrete_function(scalar, scalar).graph
    kinds = [operation.type for operation in graph.get_operations()]
    working = [k for k in kinds if k not in ("Const", "Placeholder", "Identity")]
    assert len(working) <= 24
    assert not graph.captures
    assert not {"PyFunc", "EagerPyFunc", "ReadVariableOp", "While", "MatMul"} & set(
        kinds
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_any_float_comes_in_and_float32_scalars_go_out(surface, dtype):
    outputs = surface.look_up(tf.constant(0.5, dtype), tf.constant(0.25, dtype))
    expected = surface.look_up(0.5, 0.25)
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
        assert float(twin.look_up(0.3, 0.6)["beta_3"]) == pytest.approx(
            surface.evaluate([0.3], [0.6])["beta_3"].item(), abs=1e-6
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
        ("knots", "epoch", [0.0, 1.0], ValueError, ["'table'", "'epoch'"]),
    ],
)
def test_a_broken_surface_is_refused_by_name(table, side, name, value, error, named):
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
