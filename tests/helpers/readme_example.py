"""Runs the README's first example: `python -I tests/helpers/readme_example.py`.

With `-I` nothing is imported but what is installed.
"""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def first_example():
    return re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]


if __name__ == "__main__":
    exec(compile(first_example(), README.name, "exec"))
