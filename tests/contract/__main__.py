"""Runs the table and prints it as Markdown: `python -m tests.contract`.

Options of pytest may follow, such as `-n0` for a single process.
"""

import sys
from pathlib import Path

import pytest

from tests.contract import table


class Outcomes:
    """A plugin of pytest that gathers what became of every cell."""

    def __init__(self) -> None:
        self.marks: dict[tuple[str, str], str] = {}
        self.errors: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if report.when != "call" or "cell" not in properties:
            return
        mode, situation = properties["cell"]
        error = properties.get("error")
        mark = table.REFUSED if error else table.HOLDS
        if report.failed:
            mark = table.FAILED
            print(report.longreprtext, file=sys.stderr)
        self.marks[mode, situation] = mark
        texts = self.errors.setdefault(situation, [])
        if error:
            text = error.replace("SALO", "FuzzyHess")  # each tells its own name
            texts += [] if text in texts else [text]


def main() -> int:
    outcomes = Outcomes()
    options = ["-p", "no:terminal", "-n", "auto", "--maxprocesses", "4"]
    cells = Path(__file__).parent / "test_cells.py"
    code = pytest.main([*options, *sys.argv[1:], str(cells)], plugins=[outcomes])
    print(table.markdown(outcomes.marks, outcomes.errors))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
