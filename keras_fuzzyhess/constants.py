"""Constants of parts: checked, read, and given by names.

A part is a dataclass. Its constants are the fields that have a default; what it is made
of besides has none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_fuzzyhess.arguments import check_argument, check_between


def check_constants(part: Any, **ranges: tuple[float, float]) -> None:
    """Makes floats of constants of a part, if they are numbers in their ranges.

    Args:
        part: A dataclass.
        **ranges: Tuples `(low, high)`, by names of fields.

    Raises:
        ValueError: if one is not.

    Example:

    >>> @dataclasses.dataclass
    ... class Average:
    ...     rate: float = 0.1
    >>> average = Average(1)
    >>> check_constants(average, rate=(0, 1))
    >>> average.rate
    1.0
    """
    for name, (low, high) in ranges.items():
        setattr(part, name, check_between(name, getattr(part, name), low, high))


def constants_of(part: Any) -> dict[str, float]:
    """The constants of a part by name: the fields that have a default.

    Example:

    >>> @dataclasses.dataclass
    ... class Average:
    ...     first: list
    ...     rate: float = 0.1
    >>> constants_of(Average([1.0]))
    {'rate': 0.1}
    """
    return {name: getattr(part, name) for name in _names(part)}


def given_constants(
    constants: Mapping[str, Mapping[str, Any]] | None, kinds: Mapping[str, type]
) -> dict[str, dict[str, Any]]:
    """What was given of each part's constants, to make the part with.

    Args:
        constants: Mapping from names of parts to mappings from names of constants to
            values, or None. Both may lack what is to have its default.
        kinds: Mapping from the names of all parts to their classes.

    Returns:
        Dict with an entry, maybe empty, for each part. Values are not checked.

    Raises:
        ValueError: if `constants` is none of these, or names what there is not.

    Example:

    >>> @dataclasses.dataclass
    ... class Average:
    ...     rate: float = 0.1
    >>> given_constants({"average": {"rate": 0.2}}, {"average": Average})
    {'average': {'rate': 0.2}}
    >>> given_constants({"average": {"rat": 0.2}}, {"average": Average})
    Traceback (most recent call last):
        ...
    ValueError: `constants["average"]` must name what there is. Received: 'rat'. ...
    """
    given = _checked("constants", constants, list(kinds))
    return {
        part: _checked(f'constants["{part}"]', given.get(part), _names(kind))
        for part, kind in kinds.items()
    }


def _checked(name: str, value: Any, known: list[str]) -> dict[str, Any]:
    if value is None:
        return {}
    check_argument(name, value, "a dict or None", isinstance(value, Mapping))
    for key in value:
        if key not in known:
            raise ValueError(
                f"`{name}` must name what there is. Received: {key!r}. It has "
                f"{', '.join(known)}."
            )
    return dict(value)


def _names(part: Any) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(part)
        if field.default is not dataclasses.MISSING
    ]
