"""Runs the table and prints it as Markdown: `python -m tests.contract`."""

import sys
from pathlib import Path

import pytest

HOLDS, REFUSED, FAILED = "●", "○", "✗"


class Table:
    """A plugin of pytest that gathers what became of every cell."""

    def __init__(self) -> None:
        self.marks: dict[str, dict[str, str]] = {}  # by situation, then by mode
        self.errors: dict[str, dict[str, list[str]]] = {}  # by situation, then by text

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if report.when != "call" or "cell" not in properties:
            return
        mode, situation = properties["cell"]
        row = self.marks.setdefault(situation, {})
        if report.failed:
            row[mode] = FAILED
            print(report.longreprtext, file=sys.stderr)
            return
        error = properties["error"]
        row[mode] = REFUSED if error else HOLDS
        if error:
            texts = self.errors.setdefault(situation, {})
            texts.setdefault(error, []).append(mode)

    def markdown(self, modes: list[str], situations: list[str]) -> str:
        lines = [
            f"| | {' | '.join(modes)} |",
            f"|---|{'---|' * len(modes)}",
            *(
                f"| {s} | {' | '.join(self.marks[s].get(m, '') for m in modes)} |"
                for s in situations
            ),
            "",
            f"{HOLDS} holds, {REFUSED} is refused before the first step, with:",
            "",
        ]
        for situation in situations:
            for text, raised_in in self.errors.get(situation, {}).items():
                where = "" if len(raised_in) == len(modes) else f" ({raised_in[0]})"
                lines.append(f"- {situation}{where}: {text}")
        return "\n".join(lines)


def main() -> int:
    table = Table()
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-n", "auto"]
    code = pytest.main(
        [*options, "--maxprocesses", "4", str(Path(__file__).parent)], plugins=[table]
    )
    from tests.contract.modes import MODES
    from tests.contract.test_cells import SITUATIONS

    print(table.markdown(list(MODES), [row.title for row in SITUATIONS.values()]))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
