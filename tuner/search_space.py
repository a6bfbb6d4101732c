"""The search space: a rule base as a function of KerasTuner's hyperparameters.

Plain functions of `hp`, for any `build(hp)`, `HyperModel` and tuner. All
hyperparameters default to the base's own values, so a trial with the defaults is the
base itself, to the last bit.

KerasTuner resumes a search with the hyperparameters that it saved and silently ignores
that the program asks for others by now. So the base and the groups that are searched
are registered as a `Fixed` hyperparameter: KerasTuner saves it with the project and
with each trial, hands back the saved value, and a difference is seen. It is also
how `best_rule_base` knows what a trial's values are values of.
"""

import json
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import keras_tuner
from keras_tuner.errors import FatalValueError

from keras_fuzzyhess.fuzzy import RuleBase, default_rule_base
from keras_fuzzyhess.tuner.variation import PREFIX, breakpoints, outputs, rule_weights

ORIGIN = f"{PREFIX}origin"
"""Name of the entry that tells which rule base is varied, and how."""

VERSION = 1
"""To be raised when the same hyperparameters come to mean another rule base."""

GROUPS = ("breakpoints", "weights", "outputs")
"""What can be searched: see `rule_base`."""


def rule_base(
    hp: keras_tuner.HyperParameters,
    base: RuleBase | str | PathLike[str] | None = None,
    search: Iterable[str] = GROUPS,
) -> RuleBase:
    """A variation of a rule base, as the hyperparameters say.

    | group | hyperparameters | of the default rule base |
    |---|---|---|
    | `"breakpoints"` | one for each breakpoint of the inputs, see `breakpoints` | 8 |
    | `"weights"` | one for all rules with the same finding about the loss trend | 3 |
    | `"outputs"` | one for each peak of the gain that is not 0, one for `beta_3` | 3 |

    So there are 14 dimensions by default. What is not searched stays as the base has
    it. To keep a single hyperparameter fixed, register it in KerasTuner's way,
    `hp.Fixed("rule_base/weight/flat", 1.0)`, and hand `hp` to the tuner as
    `hyperparameters`.

    The first call leaves a `Fixed` entry in `hp` that tells which base is varied, and
    how, so that `best_rule_base` and a resumed search know.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        base: The `RuleBase` to vary, or the path of its JSON file. Defaults to
            `keras_fuzzyhess.fuzzy.default_rule_base()`.
        search: Names of the groups to search, at least one. Defaults to all.

    Returns:
        A sound `RuleBase`, whatever the values; `base` itself at the defaults.

    Raises:
        TypeError: if `base` is no rule base.
        ValueError: if `search` names no group or an unknown one, or if `hp` comes from
            a search over another space.

    Example:

    >>> hp = keras_tuner.HyperParameters()
    >>> rule_base(hp) == default_rule_base()
    True
    >>> len([name for name in hp.values if name != "rule_base/origin"])
    14
    >>> hp.values["rule_base/weight/flat"] = 0.5
    >>> {rule.weight for rule in rule_base(hp).rules if "flat" in str(rule)}
    {0.5}
    """
    base = resolve_base(base)
    groups = resolve_groups(search)
    _register(hp, base, groups)
    inputs, outputs_, rules = base.inputs, base.outputs, base.rules
    if "breakpoints" in groups:
        inputs = tuple(breakpoints(hp, variable) for variable in inputs)
    if "weights" in groups:
        rules = rule_weights(hp, base)
    if "outputs" in groups:
        outputs_ = tuple(outputs(hp, variable) for variable in outputs_)
    if (inputs, outputs_, rules) == (base.inputs, base.outputs, base.rules):
        return base
    tuned = base.name.endswith(" (tuned)")
    name = base.name if tuned else f"{base.name[:56]} (tuned)"
    return RuleBase(name, inputs, outputs_, rules)


def rule_base_of(hp: keras_tuner.HyperParameters) -> RuleBase:
    """The rule base that the values of a trial stand for.

    Args:
        hp: The hyperparameters of a trial in which `rule_base` was called.

    Returns:
        A `RuleBase`.

    Raises:
        ValueError: if `rule_base` was not called with these.

    Example:

    >>> hp = keras_tuner.HyperParameters()
    >>> varied = rule_base(hp, search="weights")
    >>> rule_base_of(hp) == varied
    True
    """
    if ORIGIN not in hp:
        raise ValueError(
            "The hyperparameters must be those of a search in which `rule_base(hp)` or "
            "`FuzzyHessHyperModel` was used. "
            f"Received: {', '.join(hp.values) or 'none'}"
        )
    return rule_base(hp.copy(), base_of(hp), json.loads(hp.get(ORIGIN))["search"])


def base_of(hp: keras_tuner.HyperParameters) -> RuleBase:
    """The rule base that a trial varies."""
    return RuleBase.from_dict(json.loads(hp.get(ORIGIN))["base"])


def resolve_base(base: RuleBase | str | PathLike[str] | None) -> RuleBase:
    """The rule base that an argument `base` stands for."""
    if base is None:
        return default_rule_base()
    if isinstance(base, str | PathLike):
        return RuleBase.load(base)
    if not isinstance(base, RuleBase):
        raise TypeError(
            "`base` must be a `RuleBase`, the path of its JSON file or None. Received: "
            f"base={base!r} (of type {type(base).__name__})"
        )
    return base


def resolve_groups(search: Iterable[str]) -> tuple[str, ...]:
    """The groups that an argument `search` stands for, in the order of `GROUPS`.

    >>> resolve_groups(["outputs", "weights"]), resolve_groups("weights")
    (('weights', 'outputs'), ('weights',))
    """
    names = (search,) if isinstance(search, str) else tuple(search)
    if not names or not set(names) <= set(GROUPS):
        raise ValueError(
            f"`search` must name one or more of {', '.join(GROUPS)}. "
            f"Received: search={search!r}"
        )
    return tuple(group for group in GROUPS if group in names)


def _register(
    hp: keras_tuner.HyperParameters, base: RuleBase, groups: tuple[str, ...]
) -> None:
    """Leaves a description of the space in `hp`, or compares it with the one there."""
    asked = {"version": VERSION, "search": list(groups), "base": base.to_dict()}
    found = json.loads(hp.Fixed(ORIGIN, json.dumps(asked, sort_keys=True)))
    changes = list(_differences(found, asked, ""))
    if changes:
        listed = "; ".join(changes[:5]) + ("; …" if len(changes) > 5 else "")
        # KerasTuner lets it end the search rather than count it as a failed trial.
        raise FatalValueError(
            "A search must go on in the space in which it began. Received a search "
            f"that began with another one: {listed}. Ask for the former space again, "
            "or begin anew with `overwrite=True` or another `project_name`."
        )


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
