"""The Python in the README and in `docs` is run as it stands; files named exist."""

import re
from pathlib import Path

import matplotlib
import pytest

import keras_fuzzyhess
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.fuzzy.signals import INPUTS

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITHOUT_PYTHON = ["devices.md", "distributed_tuning.md", "imagenet.md", "limits.md"]
WITHOUT_PYTHON += ["method.md", "reference.md", "reliability.md", "results.md"]

every_page = pytest.mark.parametrize(
    "page",
    [PAGES[0], *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES[1:])],
    ids=lambda page: page.name,
)


@every_page
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the files that it writes
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(blocks) >= (0 if page.name in WITHOUT_PYTHON else 2)
    exec(compile("\n".join(blocks), page.name, "exec"), {"__name__": page.stem})
    plt.close("all")


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "examples" / "README.md", ROOT / "benchmarks" / "README.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_files_that_it_names_exist(page):
    text = page.read_text()
    for name in re.findall(r"`([\w/]+\.py)`|python ([\w/]+\.py)", text):
        path = name[0] or name[1]
        assert (ROOT / path).exists() or (page.parent / path).exists(), path
    for picture in re.findall(r"!\[.+\]\(([^)]+)\)", text):
        assert (page.parent / picture).stat().st_size < 100_000, picture


def test_every_file_and_folder_has_its_place_on_the_page_of_the_code():
    named = (ROOT / "docs" / "code.md").read_text().split()
    package = Path(keras_fuzzyhess.__file__).parent
    for path in package.rglob("[!_]*.py"):
        assert path.name in named, path


def test_default_rules_are_documented_as_they_are():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "fuzzy.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    for rule in default_rule_base().rules:
        terms, answers = rule.antecedent, rule.consequent
        row = [terms.get(name, "any") for name in INPUTS]
        row += [answers[name] for name in ("gain_rate", "beta_3")]
        assert [*row, rule.why] in rows, rule
