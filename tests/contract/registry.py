"""Situations by name, each a function of a mode."""

import dataclasses
from collections.abc import Callable

from tests.contract.modes import MODES, Make


@dataclasses.dataclass(frozen=True)
class Situation:
    """A row of the table.

    Attributes:
        title: As it is printed.
        check: Checks the cell of the mode whose optimizer it is given; the text of the
            error where the cell is refused.
        refused: The modes in which it is.
    """

    title: str
    check: Callable[[Make], str | None]
    refused: frozenset[str]


REGISTERED: dict[str, Situation] = {}


def holds_in(title: str, but_in: tuple[str, ...] = ()) -> Callable:
    """Registers a function that checks that everything holds.

    In the modes of `but_in` it checks that an error is raised, and gives its text.
    """
    return _register(title, frozenset(but_in))


def refused_in(title: str) -> Callable:
    """Registers a function that checks that an error is raised, and gives its text."""
    return _register(title, frozenset(MODES))


def _register(title, refused):
    def decorate(check):
        REGISTERED[check.__name__] = Situation(title, check, refused)
        return check

    return decorate
