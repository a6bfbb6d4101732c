"""What a search varies, kept with the search.

KerasTuner resumes a search with the hyperparameters that it saved and silently ignores
that the program asks for others by now. So the base and the groups that are searched
are registered as a `Fixed` hyperparameter: KerasTuner saves it with the project and
with each trial, hands back the saved value, and a difference is seen. It is also
how `best_rule_base` knows what a trial's values are values of.
"""

import json
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.errors import FatalValueError

from keras_fuzzyhess.fuzzy import RuleBase

VERSION = 1
"""To be raised when the same hyperparameters come to mean another rule base."""


def register(
    hp: keras_tuner.HyperParameters,
    name: str,
    base: RuleBase,
    groups: tuple[str, ...],
) -> None:
    """Leaves a description of the space in `hp`, or compares it with the one there.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        name: Name of the entry.
        base: The rule base that is varied.
        groups: What is searched.

    Raises:
        ValueError: if `hp` holds the description of another space. KerasTuner lets it
            end the search rather than count it as a failed trial.
    """
    asked = {"version": VERSION, "search": list(groups), "base": base.to_dict()}
    found = json.loads(hp.Fixed(name, json.dumps(asked, sort_keys=True)))
    changes = list(_differences(found, asked, ""))
    if changes:
        listed = "; ".join(changes[:5]) + ("; …" if len(changes) > 5 else "")
        raise FatalValueError(
            "A search must go on in the space in which it began. Received a search "
            f"that began with another one: {listed}. Ask for the former space again, "
            "or begin anew with `overwrite=True` or another `project_name`."
        )


def read(text: str) -> tuple[RuleBase, tuple[str, ...]]:
    """The rule base that is varied, and the groups that are searched."""
    found = json.loads(text)
    return RuleBase.from_dict(found["base"]), tuple(found["search"])


def _differences(found: Any, asked: Any, path: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in sorted(found.keys() | asked.keys()):
            there = f"{path}.{key}" if path else key
            yield from _differences(found.get(key), asked.get(key), there)
    elif (
        isinstance(found, list)
        and isinstance(asked, list)
        and len(found) == len(asked)
        and any(isinstance(entry, dict | list) for entry in asked)
    ):
        for i, (before, now) in enumerate(zip(found, asked, strict=True)):
            yield from _differences(before, now, f"{path}[{i}]")
    elif found != asked:
        yield f"`{path}` was {json.dumps(found)}, now {json.dumps(asked)}"
