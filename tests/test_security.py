"""Nothing that is read from a file is ever run as code."""

import ast
from pathlib import Path

import pytest

import keras_fuzzyhess
import keras_fuzzyhess.tuner

ROOT = Path(__file__).parent.parent
FOLDERS = (
    Path(keras_fuzzyhess.__file__).parent,
    Path(keras_fuzzyhess.tuner.__file__).parent,
    ROOT / "examples",
    ROOT / "benchmarks",
)

# What they read can run code.
MODULES = {
    *("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "jsonpickle"),
    *("marshal", "shelve", "yaml", "runpy", "code", "imp"),
}
FUNCTIONS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {
    *("read_pickle", "to_pickle", "from_pickle", "exec_module", "import_module"),
    *("enable_unsafe_deserialization", "get_dataset"),
}
"""`mnist1d.data.get_dataset` downloads a pickle."""
KEYWORDS = {"allow_pickle": True, "safe_mode": False}


def dangers(tree):
    """Names of what in a module may run what it reads."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names} & MODULES
            case ast.ImportFrom(module=module, names=names):
                imported = {alias.name for alias in names}
                found |= {(module or "").split(".")[0]} & MODULES
                found |= imported & (FUNCTIONS | METHODS)
            case ast.Name(id=name):
                found |= {name} & FUNCTIONS
            case ast.Attribute(attr=name):
                found |= {name} & METHODS
            case ast.keyword(arg=name, value=value) if name in KEYWORDS:
                safe = ast.Constant(not KEYWORDS[name])
                if ast.dump(value) != ast.dump(safe):
                    found.add(name)
    return found


def test_nothing_runs_what_it_reads():
    files = [path for folder in FOLDERS for path in folder.rglob("*.py")]
    assert len(files) > 70
    for path in files:
        assert dangers(ast.parse(path.read_text())) == set(), path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, pickle as p",
        "from yaml import load",
        "import yaml",
        "from pandas import read_pickle",
        "eval(text)",
        "run = exec",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "load_model(path, safe_mode=False)",
        "pd.read_pickle(path)",
        "keras.config.enable_unsafe_deserialization()",
        "importlib.import_module(name)",
        "mnist1d.data.get_dataset(arguments)",
    ],
)
def test_each_danger_is_seen(code):
    assert dangers(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "load_model(path, safe_mode=True)",
        "model.compile(optimizer)",
        "json.loads(text)",
    ],
)
def test_what_is_safe_is_not_taken_for_a_danger(code):
    assert not dangers(ast.parse(code))
