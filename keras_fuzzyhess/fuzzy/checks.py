"""Checks that more than one part of a rule base needs.

Each raises an error that states the rule, names the part and gives the value received.
Their argument `what` is the part, as the subject of the message.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

LONGEST_NAME = 64
"""Characters of a name, at most; so that an error message stays readable."""


def real_number(value: Any, what: str) -> float:
    """Returns `value`, any real number of Python or numpy, as a finite float.

    Raises:
        TypeError: If `value` is not a real number; a bool is not one.
        ValueError: If it is NaN, infinite or beyond the floating-point range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a real number. Received: {with_type(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(
            f"{what} must be a finite number. Received: {abbreviated(value)}"
        )
    return number


def weight_of(value: Any, what: str) -> float:
    """Returns a weight as a float; raises as `real_number`, and outside of [0, 1]."""
    weight = real_number(value, what)
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"{what} must be in [0, 1]. Received: {weight}")
    return weight


def string(value: Any, what: str) -> str:
    """Returns `value`; raises TypeError if it is not a string."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string. Received: {with_type(value)}")
    return value


def name_of(value: Any, what: str) -> str:
    """Returns `value` if it is a string that can be a name.

    Raises ValueError if it is empty, too long, unprintable or has outer blanks.
    """
    name = string(value, what)
    usable = name.isprintable() and name == name.strip() and name
    if not usable or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{what} must be 1 to {LONGEST_NAME} printable characters without blanks "
            f"at its ends. Received: {abbreviated(name)}"
        )
    return name


def sequence(value: Any, what: str, of: str) -> tuple[Any, ...]:
    """Returns `value` as a tuple; raises TypeError if it is a string or no iterable."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"{what} must be a sequence of {of}. Received: {with_type(value)}"
        )
    return tuple(value)


def tuple_of(kind: type, value: Any, what: str, at_most: int) -> tuple[Any, ...]:
    """Returns `value` as a tuple of 1 to `at_most` members of `kind`, or raises."""
    members = sequence(value, what, kind.__name__)
    for member in members:
        if not isinstance(member, kind):
            raise TypeError(
                f"Each member of {what} must be of type {kind.__name__}. "
                f"Received: {with_type(member)}"
            )
    if not 1 <= len(members) <= at_most:
        raise ValueError(
            f"{what} must have 1 to {at_most} members. Received: {len(members)}"
        )
    return members


def refuse_twins(names: Iterable[str], what: str) -> None:
    """Raises ValueError if a name occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"{what} must have different names. Received: '{name}' twice"
            )
        seen.add(name)


def abbreviated(value: Any) -> str:
    """`repr` of a received value, cut at 100 characters."""
    try:
        text = repr(value)
    except Exception as error:
        # A value may be broken in its own repr (an integer of 5000 digits is), and
        # the message about it must not be lost for that.
        text = f"<{type(value).__name__} without repr: {type(error).__name__}>"
    return text if len(text) <= 100 else text[:97] + "..."


def with_type(value: Any) -> str:
    """The same, followed by the type of the value, where that is at fault."""
    return f"{abbreviated(value)} (of type {type(value).__name__})"
