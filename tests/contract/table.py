"""The table: its rows in their order, and how it is printed."""

from tests.contract import architectures, arguments, execution, persistence, refusals
from tests.contract.modes import MODES
from tests.contract.registry import REGISTERED, Situation

HOLDS, REFUSED, FAILED = "●", "○", "✗"

GROUPS = {
    "How it is run": execution,
    "Arguments, schedules and callbacks": arguments,
    "Layers, inputs and losses": architectures,
    "Copies and files": persistence,
    "Refused": refusals,
}


def _of(module) -> dict[str, Situation]:
    return {
        name: situation
        for name, situation in REGISTERED.items()
        if situation.check.__module__ == module.__name__
    }


SITUATIONS = {
    name: situation
    for module in GROUPS.values()
    for name, situation in _of(module).items()
}


def row(title: str, cells: list[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def markdown(marks: dict[tuple[str, str], str], errors: dict[str, list[str]]) -> str:
    """The table.

    Args:
        marks: By mode and name of the situation.
        errors: The texts by name of the situation.
    """
    lines = [row("", list(MODES)), row("---", ["---"] * len(MODES))]
    for group, module in GROUPS.items():
        lines.append(row(f"**{group}**", [""] * len(MODES)))
        lines += [
            row(situation.title, [marks.get((mode, name), "") for mode in MODES])
            for name, situation in _of(module).items()
        ]
    lines += ["", f"{HOLDS} holds, {REFUSED} is refused before the first step:", ""]
    for name, situation in SITUATIONS.items():
        lines += [f'- {situation.title}: "{text}"' for text in errors.get(name, [])]
    return "\n".join(lines)
