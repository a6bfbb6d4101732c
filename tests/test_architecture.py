"""Dependencies point one way, and what is optional stays out of the way."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import keras_fuzzyhess
import keras_fuzzyhess.tuner
from keras_fuzzyhess import fuzzy, plots

ROOT = Path(__file__).parent.parent
PACKAGE = Path(keras_fuzzyhess.__file__).parent
TUNER = Path(keras_fuzzyhess.tuner.__file__).parent

# From the ground up: a module may import only from rows above its own.
LAYERS = [
    {
        "moving_average",
        "in_place",
        "effects",
        "outside_functions",
        "loss_scaling",
    },
    {
        "arguments",
        "averaged_weights",
        "fuzzy",
        "own_optimizers",
        "refusals",
        "curvature",
        "outer_product",
        "packing",
        "step_length",
        "replicas",
        "saved_state",
    },
    {
        "graph_path",
        "direction",
        "python_code",
        "controller",
        "probe_schedule",
        "plot_parts",
        "finite_steps",
        "mean_squares",
        "minibatch",
    },
    {"closure", "seen_values", "summed_gradients", "traced_loss"},
    {"shifted_variables"},
    {"replay"},
    {"second_gradient", "plots"},
    {"fuzzy_controlled"},
    {"salo", "monitor", "weight_averaging"},
    {"optimizer", "averages_in_validation"},
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer_of(module):
    return next(i for i, row in enumerate(LAYERS) if module in row)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.glob("[!_]*.py")), ids=lambda path: path.stem
)
def test_imports_point_down(path):
    siblings = {p.stem for p in PACKAGE.glob("[!_]*.py")} | {"fuzzy"}
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "keras_fuzzyhess" and len(parts) > 1 and parts[1] in siblings:
            assert layer_of(parts[1]) < layer_of(path.stem), f"{path.stem} -> {name}"


def test_fuzzy_knows_nothing_of_the_optimizer():
    for path in (PACKAGE / "fuzzy").glob("*.py"):
        for name in imports(path):
            if name.startswith("keras_fuzzyhess"):
                assert name.startswith("keras_fuzzyhess.fuzzy"), f"{path.name}: {name}"


def test_fuzzy_imports_itself_in_no_circle():
    """Whatever is imported at any place: in functions, and for type checkers alone."""
    prefix = "keras_fuzzyhess.fuzzy."
    left = {
        path.stem: {
            name.removeprefix(prefix).split(".")[0]
            for name in imports(path)
            if name.startswith(prefix)
        }
        for path in (PACKAGE / "fuzzy").glob("[!_]*.py")
    }
    assert any(left.values())
    left = {module: needs & set(left) for module, needs in left.items()}
    while left:
        ready = {module for module, needs in left.items() if not needs & set(left)}
        assert ready, f"a circle among {sorted(left)}"
        left = {module: left[module] for module in set(left) - ready}


def test_fuzzy_imports_its_parts_by_full_names_at_the_top():
    for path in (PACKAGE / "fuzzy").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path.name
                ours = (node.module or "").startswith("keras_fuzzyhess")
                assert node in tree.body or not ours, f"{path.name}: {node.module}"


def test_only_the_replay_imports_the_internals_of_tensorflow():
    for path in PACKAGE.rglob("*.py"):
        inside = [n for n in imports(path) if n.startswith("tensorflow.")]
        assert not inside or path.stem == "effects", f"{path.name}: {inside}"


OUTSIDE = [
    path
    for folder in (TUNER, ROOT / "examples", ROOT / "benchmarks")
    for path in sorted(folder.rglob("*.py"))
]


def test_what_is_outside_uses_public_names():
    """And, in the tuner, the checks of arguments and the import of matplotlib."""
    public = {"", ".curvature", ".fuzzy", ".plots", ".tuner"}
    shared = {".arguments", ".plot_parts"}
    for path in OUTSIDE:
        allowed = public | (shared if path.parent.name == "tuner" else set())
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if module.split(".")[0] == "keras_fuzzyhess":
                inside = module.removeprefix("keras_fuzzyhess")
                inside = "" if not inside else f".{inside.split('.')[1]}"
                assert inside in allowed, f"{path}: {module}"


def test_what_users_import_has_an_example():
    for module in (keras_fuzzyhess, fuzzy, plots):
        of_module = [n for n in vars(module) if n.startswith("plot_")]
        names = getattr(module, "__all__", of_module)
        assert len(names) >= 4, module.__name__
        for name in names:
            text = inspect.getdoc(getattr(module, name)) or ""
            assert ">>> " in text, f"{module.__name__}.{name}"


def test_files_are_short():
    tests = Path(__file__).parent.rglob("*.py")
    for path in [*PACKAGE.rglob("*.py"), *OUTSIDE, *tests]:
        assert len(path.read_text().splitlines()) <= 300, path


def test_optional_packages_are_imported_by_what_needs_them_alone():
    """In one process, for it takes seconds to import TensorFlow.

    Keras itself imports matplotlib where it is installed, so it is hidden here.
    """
    lines = [
        "import sys",
        "sys.modules['matplotlib'] = None",
        "import keras_fuzzyhess",
        "print('keras_tuner' in sys.modules)",
        "sys.modules['keras_tuner'] = None",
        "import keras_fuzzyhess.tuner",
    ]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True
    )
    assert result.stdout.strip() == "False", result.stderr
    assert 'pip install "keras-fuzzyhess[tuner]"' in result.stderr
