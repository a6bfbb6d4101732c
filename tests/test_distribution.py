"""Wheel and sdist hold what they should, and the wheel runs without the checkout."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"keras_fuzzyhess": "keras_fuzzyhess", "tuner": "keras_fuzzyhess/tuner"}
"""Folders of the checkout, and where they are installed."""


def run(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources(folder):
    """Its Python files, relative to it."""
    return {path.relative_to(folder) for path in folder.rglob("*.py")}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A sdist, and the wheel that is built from it alone."""
    output, checkout = (tmp_path_factory.mktemp(name) for name in ("dist", "checkout"))
    # An `egg-info` that is left would name files for setuptools to take.
    left = shutil.ignore_patterns(
        ".*", "*.egg-info", "build", "dist", "site", "__pycache__"
    )
    shutil.copytree(ROOT, checkout, ignore=left, dirs_exist_ok=True)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", output)
    run(*build, checkout, cwd=output)
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {Path(name) for name in wheel.namelist()}
    expected = {
        installed / path
        for folder, installed in PACKAGES.items()
        for path in sources(ROOT / folder)
    }
    found = {path for path in names if not path.parts[0].endswith(".dist-info")}
    assert found == expected
    assert "LICENSE" in {path.name for path in names}


@pytest.mark.slow
def test_sdist_holds_what_the_tests_need(distributions):
    with tarfile.open(distributions[0]) as sdist:
        names = {Path(*Path(name).parts[1:]) for name in sdist.getnames()}
    for folder in (*PACKAGES, "tests", "examples", "benchmarks"):
        assert {folder / path for path in sources(ROOT / folder)} <= names, folder
    pages, results = (
        (ROOT / "docs").rglob("*.*"),
        (ROOT / "benchmarks").rglob("*.json*"),
    )
    assert {path.relative_to(ROOT) for path in (*pages, *results)} <= names
    assert set(map(Path, ("README.md", "LICENSE", "Makefile", "mkdocs.yml"))) <= names
    assert not {path for path in names if path.suffix == ".pyc"}


@pytest.mark.slow
def test_readme_example_runs_where_the_wheel_is_installed(distributions, tmp_path):
    """What the wheel needs is lent by this environment."""
    venv.create(tmp_path, with_pip=False)
    python = tmp_path / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet")
    run(*pip, "install", "--no-deps", "--no-index", distributions[1])
    (installed,) = tmp_path.glob("lib/python*/site-packages")
    # Only its folder: what is editable in it stays behind.
    (installed / "lent.pth").write_text(sysconfig.get_path("purelib"))
    origin = "import keras_fuzzyhess; print(keras_fuzzyhess.__file__)"
    imported = run(python, "-I", "-c", origin, cwd=tmp_path).strip()
    assert Path(imported).is_relative_to(installed)
    example = ROOT / "tests" / "helpers" / "readme_example.py"
    assert re.search(r"Epoch (\d+)/\1\b", run(python, "-I", example, cwd=tmp_path))
