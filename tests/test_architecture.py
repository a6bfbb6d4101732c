"""Dependencies point one way, and what is optional stays out of the way."""

import ast
import graphlib
import importlib
import inspect
import re
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

# What the files of each folder, or a file of the package, may import of it.
MAY_IMPORT = {
    "arguments": set(),
    "constants": {"arguments"},
    "fuzzy": {"fuzzy"},
    "state": {"state", "backend.in_place"},
    "parts": {"state"},
    "direction": {"direction", "state", "parts", "arguments", "backend.in_place"}
    | {"backend.replicas"},
    "control": {"control", "parts", "fuzzy", "constants"},
    "measure": {"measure", "state", "parts", "arguments", "constants"}
    | {"backend.replicas"},
    "algorithm": {"direction", "control", "measure", "parts"},
    "backend": {"backend", "algorithm", "measure", "state", "parts", "arguments"}
    | {"fuzzy"},
    "fuzzyhess": {"algorithm", "arguments", "backend.optimizer", "control", "fuzzy"}
    | {"constants", "direction", "measure", "salo"},
    "salo": {"algorithm", "arguments", "backend.optimizer", "control", "fuzzy"}
    | {"constants", "direction", "measure"},
    "monitor": {"arguments", "backend"},
    "averages_in_validation": {"backend"},
    "plot_parts": {"arguments"},
    "plots": {"plot_parts", "fuzzy", "arguments"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = sorted(PACKAGE.rglob("[!_]*.py"))


def module_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def own_imports(path):
    """The modules of the package that a file imports."""
    modules = {module_of(p) for p in FILES}
    found = {name.removeprefix("keras_fuzzyhess.") for name in imports(path)}
    return {module for module in found if module in modules}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_what_its_folder_may(path):
    allowed = MAY_IMPORT[module_of(path).split(".")[0]]
    for module in own_imports(path):
        assert module in allowed or module.split(".")[0] in allowed, module


def test_no_file_imports_itself_by_others():
    """Whatever is imported at any place: in functions, and for type checkers alone."""
    graph = {module_of(path): own_imports(path) for path in FILES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(str(error))


def test_raw_operations_and_private_names_of_keras_are_in_the_backend():
    private = re.compile(r"raw_ops|tf\.__internal__|_trainable_variables|_var_key")
    for path in FILES:
        if not module_of(path).startswith("backend"):
            assert not private.search(path.read_text()), path


def test_tests_lie_in_folders_like_what_they_test():
    """Beside what is of no folder alone, and the helpers, which are no tests."""
    like = {path.parent.relative_to(PACKAGE).as_posix() for path in FILES} - {"."}
    like |= {"tuner", "examples", "benchmarks"}
    of_all = {"contract", "fuzzing", "golden", "sweep"}
    tests = (ROOT / "tests").rglob("test_*.py")
    found = {path.parent.relative_to(ROOT / "tests").as_posix() for path in tests}
    assert found - {"."} == like | of_all


NO_CHOICES = {
    "LARGEST_SCALE",
    "LENGTH_PROBE",
    "ROUNDING",
    "WORD_LENGTH",
}
"""Numbers that no release could choose differently."""


def test_constants_of_parts_are_their_fields():
    """So that a configuration holds them."""
    for folder in ("measure", "control"):
        for path in (PACKAGE / folder).glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    numbers = [
                        n.value
                        for n in ast.walk(node)
                        if isinstance(n, ast.Constant)
                        and isinstance(n.value, int | float)
                    ]
                    text = ast.unparse(node)
                    assert not numbers or text.split()[0] in NO_CHOICES, text


def test_inheritance_is_at_most_two_deep():
    for path in FILES:
        name = f"keras_fuzzyhess.{module_of(path)}"
        for cls in vars(importlib.import_module(name)).values():
            if inspect.isclass(cls) and cls.__module__ == name:
                own = [c for c in cls.__mro__ if c.__module__.startswith("keras_fuzzy")]
                assert len(own) <= 3, cls  # itself and two


def test_fuzzy_knows_nothing_of_the_optimizer():
    for path in (PACKAGE / "fuzzy").glob("*.py"):
        for name in imports(path):
            if name.startswith("keras_fuzzyhess"):
                assert name.startswith("keras_fuzzyhess.fuzzy"), f"{path.name}: {name}"


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
    """And, in the tuner, what no user needs and it would have to do again."""
    public = {"", ".direction", ".fuzzy", ".measure", ".plots", ".tuner"}
    shared = {".arguments", ".backend.loss_scaling", ".plot_parts"}
    for path in OUTSIDE:
        allowed = public | (shared if path.parent.name == "tuner" else set())
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if module.split(".")[0] == "keras_fuzzyhess":
                inside = module.removeprefix("keras_fuzzyhess")
                folder = "" if not inside else f".{inside.split('.')[1]}"
                assert {folder, inside} & allowed, f"{path}: {module}"


def test_what_users_import_has_an_example():
    for module in (keras_fuzzyhess, fuzzy, plots):
        of_module = [n for n in vars(module) if n.startswith("plot_")]
        names = getattr(module, "__all__", of_module)
        assert len(names) >= 4, module.__name__
        for name in names:
            text = inspect.getdoc(getattr(module, name)) or ""
            assert ">>> " in text, f"{module.__name__}.{name}"


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
