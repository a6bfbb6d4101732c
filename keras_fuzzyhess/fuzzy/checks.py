"""Checks that more than one part of a rule base needs.

Each raises an error that states the rule, names the part and gives the value received.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

LONGEST_NAME = 64
"""Characters of a name, at most; so that an error message stays readable."""

LONGEST_SENTENCE = 1000
"""Characters of a rule's `why`, at most."""


def real_number(value: Any, what: str) -> float:
    """Returns `value` as a finite float.

    Args:
        value: Any real number of Python or numpy; a bool is not one.
        what: The part that has the value, as the subject of the error message.

    Returns:
        The number as a Python float.

    Raises:
        TypeError: If `value` is not a real number.
        ValueError: If it is NaN, infinite or beyond the floating-point range.

    Example:

    >>> real_number(1, "`weight`")
    1.0
    >>> real_number(float("nan"), "`weight`")
    Traceback (most recent call last):
    ...
    ValueError: `weight` must be a finite number. Received: nan
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{what} must be a real number. "
            f"Received: {abbreviated(value)} (of type {type(value).__name__})"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(
            f"{what} must be a finite number. Received: {abbreviated(value)}"
        )
    return number


def name_of(value: Any, what: str) -> str:
    """Returns `value` if it can be a name: 1 to 64 printable characters.

    Args:
        value: The name.
        what: The part that is named, as the subject of the error message.

    Returns:
        `value`.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it is empty, too long, has outer blanks or unprintable
            characters.

    Example:

    >>> name_of("rising", "The name of a term")
    'rising'
    """
    if not isinstance(value, str):
        raise TypeError(
            f"{what} must be a string. "
            f"Received: {abbreviated(value)} (of type {type(value).__name__})"
        )
    usable = value.isprintable() and value == value.strip() and value
    if not usable or len(value) > LONGEST_NAME:
        raise ValueError(
            f"{what} must be 1 to {LONGEST_NAME} printable characters without blanks "
            f"at its ends. Received: {abbreviated(value)}"
        )
    return value


def sentence(value: Any, what: str) -> str:
    """Returns `value` if it is a string of at most 1000 characters.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it is longer.

    Example:

    >>> sentence("The loss rises: step back.", "`why`")
    'The loss rises: step back.'
    """
    if not isinstance(value, str):
        raise TypeError(
            f"{what} must be a string. "
            f"Received: {abbreviated(value)} (of type {type(value).__name__})"
        )
    if len(value) > LONGEST_SENTENCE:
        raise ValueError(
            f"{what} must have at most {LONGEST_SENTENCE} characters. "
            f"Received: {len(value)} characters"
        )
    return value


def tuple_of(kind: type, value: Any, what: str, at_most: int) -> tuple[Any, ...]:
    """Returns `value` as a tuple of 1 to `at_most` members of `kind`.

    Raises:
        TypeError: If it is not iterable, or a member is of another type.
        ValueError: If it has no member or too many.

    Example:

    >>> tuple_of(int, [1, 2], "`counts`", at_most=3)
    (1, 2)
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"{what} must be a sequence of {kind.__name__}. "
            f"Received: {abbreviated(value)} (of type {type(value).__name__})"
        )
    members = tuple(value)
    for member in members:
        if not isinstance(member, kind):
            raise TypeError(
                f"Each member of {what} must be of type {kind.__name__}. Received: "
                f"{abbreviated(member)} (of type {type(member).__name__})"
            )
    if not 1 <= len(members) <= at_most:
        raise ValueError(
            f"{what} must have 1 to {at_most} members. Received: {len(members)}"
        )
    return members


def refuse_twins(names: Iterable[str], what: str) -> None:
    """Raises ValueError if a name occurs twice.

    Example:

    >>> refuse_twins(["low", "high"], "The terms of a variable")
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"{what} must have different names. Received: '{name}' twice"
            )
        seen.add(name)


def abbreviated(value: Any) -> str:
    """`repr` of a received value, cut at 100 characters.

    Example:

    >>> len(abbreviated("x" * 5000))
    100
    """
    try:
        text = repr(value)
    except Exception as error:
        # A value may be broken in its own repr (an integer of 5000 digits is), and
        # the message about it must not be lost for that.
        text = f"<{type(value).__name__} without repr: {type(error).__name__}>"
    return text if len(text) <= 100 else text[:97] + "..."
