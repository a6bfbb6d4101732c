"""Rule bases and control surfaces as JSON: read strictly, written atomically.

Nothing that is read is ever executed. Whatever is wrong with the data is refused with
a ValueError that says where and what.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from keras_fuzzyhess.fuzzy.checks import abbreviated
from keras_fuzzyhess.fuzzy.variable import Term, Variable

if TYPE_CHECKING:
    from keras_fuzzyhess.fuzzy.rule import Rule
    from keras_fuzzyhess.fuzzy.rule_base import RuleBase

_T = TypeVar("_T")

SCHEMA_VERSION = 1
"""Version of the layout of the data. Raised when a change makes old data unreadable."""

LARGEST_FILE = 4 * 1024 * 1024
"""Bytes of a file, at most: a rule base of every allowed term and rule is smaller."""


def rule_base_to_dict(rule_base: RuleBase) -> dict[str, Any]:
    """A rule base as dictionaries, lists, strings and numbers.

    Args:
        rule_base: The rule base.

    Returns:
        A dictionary that JSON can hold, with the keys `schema_version`, `kind`,
        `name`, `inputs`, `outputs` and `rules`.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> data = rule_base_to_dict(default_rule_base())
    >>> data["schema_version"], data["kind"], len(data["rules"])
    (1, 'rule_base', 9)
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "rule_base",
        "name": rule_base.name,
        "inputs": [_variable_to_dict(variable) for variable in rule_base.inputs],
        "outputs": [_variable_to_dict(variable) for variable in rule_base.outputs],
        "rules": [
            {
                "if": rule.antecedent,
                "then": rule.consequent,
                "weight": rule.weight,
                "why": rule.why,
            }
            for rule in rule_base.rules
        ],
    }


def rule_base_from_dict(data: Mapping[str, Any]) -> RuleBase:
    """The rule base that `rule_base_to_dict` gave `data` for.

    A rule may lack `weight` and `why`; nothing else may be missing or added.

    Args:
        data: The dictionary.

    Returns:
        An equal rule base.

    Raises:
        TypeError: If `data` is not a mapping.
        ValueError: If it is of another kind or version, has missing or unknown keys or
            values of a wrong type, or describes no sound rule base.
    """
    from keras_fuzzyhess.fuzzy.rule_base import RuleBase

    keys = ("schema_version", "kind", "name", "inputs", "outputs", "rules")
    check_header(data, "rule_base", keys)
    return as_value_error(
        lambda: RuleBase(
            data["name"],
            tuple(_variables(data["inputs"], "inputs")),
            tuple(_variables(data["outputs"], "outputs")),
            tuple(
                _rule(rule, f"rules[{number}]")
                for number, rule in enumerate(_list(data["rules"], "rules"))
            ),
        )
    )


def load_rule_base(path: str | os.PathLike[str]) -> RuleBase:
    """Reads a rule base from a JSON file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no sound rule base; the message begins with the path.
    """
    try:
        data = read_json(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            "The file of a rule base must exist; `RuleBase.save` writes one. "
            f"Received: '{os.fspath(path)}'"
        ) from error
    try:
        return rule_base_from_dict(data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{os.fspath(path)}' holds no rule base. {error}") from error


def write_json(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes `data` as JSON so that `path` holds the old file or the whole new one.

    Args:
        data: What `to_dict` of a rule base or a control surface returned.
        path: Where to. An existing file is replaced.

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


def check_header(data: Any, kind: str, keys: tuple[str, ...]) -> None:
    """Raises unless `data` is a mapping of this kind, version 1, with just these keys.

    Args:
        data: Anything.
        kind: "rule_base" or "control_surface".
        keys: All keys that it must have.
    """
    if not isinstance(data, Mapping):
        raise TypeError(
            f"A {kind} must be read from a mapping. "
            f"Received: {abbreviated(data)} (of type {type(data).__name__})"
        )
    version = data.get("schema_version")
    # True == 1, and a boolean is no version.
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ValueError(
            f"`schema_version` must be {SCHEMA_VERSION}, the only one that this "
            f"release reads. Received: {abbreviated(version)}"
        )
    if data.get("kind") != kind:
        raise ValueError(
            f"`kind` must be '{kind}'. Received: {abbreviated(data.get('kind'))}"
        )
    check_keys(data, f"A {kind}", keys)


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
    for key in data:
        if key not in needed + allowed:
            raise ValueError(
                f"{what} must have no other keys than "
                f"{', '.join(needed + allowed)}. Received: {abbreviated(key)}"
            )


def as_value_error(make: Callable[[], _T]) -> _T:
    """Calls `make`; a TypeError of it becomes a ValueError, for data are at fault."""
    try:
        return make()
    except TypeError as error:
        raise ValueError(str(error)) from error


def _variable_to_dict(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "low": variable.low,
        "high": variable.high,
        "terms": [
            {"name": term.name, "shape": term.shape, "points": list(term.points)}
            for term in variable.terms
        ],
    }


def _variables(data: Any, what: str) -> list[Variable]:
    variables = []
    for number, entry in enumerate(_list(data, what)):
        where = f"{what}[{number}]"
        check_keys(entry, where, ("name", "low", "high", "terms"))
        terms = _list(entry["terms"], f"{where}.terms")
        for index, term in enumerate(terms):
            there = f"{where}.terms[{index}]"
            check_keys(term, there, ("name", "shape", "points"))
            _list(term["points"], f"{there}.points")
        variables.append(
            Variable(
                entry["name"],
                entry["low"],
                entry["high"],
                tuple(Term(**term) for term in terms),
            )
        )
    return variables


def _rule(data: Any, what: str) -> Rule:
    from keras_fuzzyhess.fuzzy.rule import Rule

    check_keys(data, what, ("if", "then"), ("weight", "why"))
    for side in ("if", "then"):
        if not isinstance(data[side], Mapping):
            raise ValueError(
                f"'{side}' of {what} must be an object that maps variables to terms. "
                f"Received: {abbreviated(data[side])}"
            )
    return Rule(data["if"], data["then"], data.get("weight", 1.0), data.get("why", ""))


def _list(data: Any, what: str) -> list[Any]:
    # A configuration that went through Keras may have tuples in place of lists.
    if not isinstance(data, list | tuple):
        raise ValueError(f"'{what}' must be a list. Received: {abbreviated(data)}")
    return list(data)


def _refuse_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal}, which is no finite number")


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"the key {abbreviated(key)} twice in one object")
        data[key] = value
    return data
