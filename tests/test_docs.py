"""Pages are in the site and linked, the reference is whole; `make docs` builds it."""

import re
from pathlib import Path

import pytest

import keras_fuzzyhess
import keras_fuzzyhess.tuner
from keras_fuzzyhess import direction, fuzzy, plots

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md"))


def links(page):
    """What a page links to, pictures too, but for code, other sites and anchors."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {link.split("#")[0] for link in found if not re.match(r"\w+:|#", link)}


@pytest.mark.parametrize(
    "module",
    [keras_fuzzyhess, direction, fuzzy, plots, keras_fuzzyhess.tuner],
    ids=lambda module: module.__name__,
)
def test_every_public_name_is_in_the_reference(module):
    text = (DOCS / "reference.md").read_text()
    titles = re.findall(r"^(?::::| +heading:|###) (\S+)$", text, re.MULTILINE)
    of_module = {f"{module.__name__}.{name}" for name in module.__all__}
    assert of_module == {t for t in titles if t.rpartition(".")[0] == module.__name__}


def test_every_page_is_in_the_navigation_once():
    navigation = re.search(
        r"^nav:\n(.*?)^\S", (ROOT / "mkdocs.yml").read_text(), re.M | re.S
    )
    pages = re.findall(r": (\S+\.md)$", navigation[1], re.MULTILINE)
    assert sorted(pages) == [page.name for page in PAGES]


def test_readme_links_to_every_page_and_is_short():
    assert {f"docs/{page.name}" for page in PAGES} <= links(README)
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for link in links(page):
        assert (page.parent / link).is_file(), link
        if page != README:  # the site has nothing else
            assert (page.parent / link).resolve().is_relative_to(DOCS.resolve()), link
