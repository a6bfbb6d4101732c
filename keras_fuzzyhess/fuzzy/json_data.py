"""Data as JSON files, read strictly and written atomically, and checks of their layout.

Nothing that is read is ever executed. Whatever is wrong with the data is refused with
a ValueError that says where and what.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from keras_fuzzyhess.fuzzy.checks import abbreviated, with_type

_T = TypeVar("_T")

SCHEMA_VERSION = 1
"""Version of the layout of the data. Raised when a change makes old data unreadable."""

LARGEST_FILE = 4 * 1024 * 1024
"""Bytes of a file, at most: a rule base of every allowed term and rule is smaller."""


def write_json(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes `data` as JSON so that `path` holds the old file or the whole new one.

    Raises:
        OSError: If the folder does not exist or cannot be written.
        ValueError: If a number in `data` is not finite.
    """
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    target = Path(path)
    # In the same folder, for a file can be renamed atomically only within a volume.
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(draft, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file strictly: UTF-8, no NaN, no key twice, at most 4 MiB.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If its content is anything but such JSON.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except ValueError as error:  # a null character, or half of a surrogate pair
        raise ValueError(f"A path must be valid. Received: {path!r}") from error
    where = f"'{os.fspath(path)}'"
    if len(content) > LARGEST_FILE:
        raise ValueError(
            f"{where} must have at most {LARGEST_FILE} bytes. Received: a larger file"
        )
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_refuse_double_keys,
        )
    except RecursionError:
        raise ValueError(
            f"{where} must be JSON of moderate depth. Received: too many nested levels"
        ) from None
    except ValueError as error:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, too.
        raise ValueError(
            f"{where} must be a UTF-8 file with valid JSON. Received: {error}"
        ) from error


def header(kind: str) -> dict[str, Any]:
    """The entries with which the data of every rule base or control surface begin."""
    return {"schema_version": SCHEMA_VERSION, "kind": kind}


def restored(
    data: Any, kind: str, parts: tuple[str, ...], make: Callable[..., _T]
) -> _T:
    """What `make` makes of the parts of data that begin with the header of this kind.

    Raises:
        TypeError: If `data` is not a mapping.
        ValueError: If it is of another kind or version, has missing or unknown keys, or
            `make` refuses a part, be it by a TypeError: the data are at fault.
    """
    if not isinstance(data, Mapping):
        raise TypeError(
            f"A {kind} must be read from a mapping. Received: {with_type(data)}"
        )
    for key, value in header(kind).items():
        found = data.get(key)
        # True == 1, and a boolean is no version.
        if type(found) is not type(value) or found != value:
            raise ValueError(
                f"`{key}` must be {value!r}, the only one that is read here. "
                f"Received: {abbreviated(found)}"
            )
    check_keys(data, f"A {kind}", (*header(kind), *parts))
    try:
        return make(*(data[part] for part in parts))
    except TypeError as error:
        raise ValueError(str(error)) from error


def check_keys(
    data: Any, what: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> None:
    """Raises ValueError unless `data` is a mapping with the needed and allowed keys."""
    if not isinstance(data, Mapping):
        raise ValueError(
            f"{what} must be an object with the keys {', '.join(needed)}. "
            f"Received: {abbreviated(data)}"
        )
    for key in needed:
        if key not in data:
            raise ValueError(
                f"{what} must have the key '{key}'. Received: {abbreviated(list(data))}"
            )
    known = needed + allowed
    for key in data:
        if key not in known:
            raise ValueError(
                f"{what} must have no other keys than {', '.join(known)}. "
                f"Received: {abbreviated(key)}"
            )


def _refuse_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal}, which is no finite number")


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"the key {abbreviated(key)} twice in one object")
        data[key] = value
    return data
