"""Checks of constructor arguments, with errors in the style of Keras."""

from typing import Any


def check_argument(name: str, value: Any, rule: str, holds: bool) -> None:
    """Raises a `ValueError` that states the rule, unless it holds.

    Example:

    >>> check_argument("beta_1", 1.5, "in [0, 1)", 0 <= 1.5 < 1)
    Traceback (most recent call last):
        ...
    ValueError: `beta_1` must be in [0, 1). Received: beta_1=1.5
    """
    if not holds:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def is_number(value: Any) -> bool:
    """Whether the value is a Python number (a bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_momentum(name: str, value: Any) -> None:
    """Raises a `ValueError` unless the value is a number in [0, 1)."""
    check_argument(name, value, "in [0, 1)", is_number(value) and 0 <= value < 1)


def check_between(name: str, value: Any, low: float, high: float) -> None:
    """Raises a `ValueError` unless the value is a number in [low, high]."""
    holds = is_number(value) and low <= value <= high
    check_argument(name, value, f"in [{low:g}, {high:g}]", holds)


def check_integer(name: str, value: Any, least: float, otherwise: str = "") -> None:
    """Raises a `ValueError` unless the value is an integer of at least `least`."""
    holds = type(value) is int and value >= least
    check_argument(name, value, f"an integer of at least {least}{otherwise}", holds)


def check_positive(name: str, value: Any) -> None:
    """Raises a `ValueError` unless the value is a positive, finite number."""
    holds = is_number(value) and 0 < value < float("inf")
    check_argument(name, value, "positive and finite", holds)
