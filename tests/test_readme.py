"""The README's Python is run as it stands."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    exec(compile("\n".join(blocks), "README.md", "exec"), {"__name__": "readme"})


def test_files_that_it_names_exist():
    root = Path(__file__).parent.parent
    for name in re.findall(r"`([\w/]+\.py)`", README):
        assert (root / name).exists(), name
