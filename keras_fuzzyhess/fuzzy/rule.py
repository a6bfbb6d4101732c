"""One fuzzy rule, as immutable data, and how strongly it fires."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import numpy as np

from keras_fuzzyhess.fuzzy import checks
from keras_fuzzyhess.fuzzy.variable import Variable

Assignments = tuple[tuple[str, str], ...]

LONGEST_WHY = 1000
"""Characters of a rule's `why`, at most."""


@dataclass(frozen=True, slots=True)
class Rule:
    """IF the inputs are so THEN the outputs are so.

    The antecedents are joined by AND (minimum). An input that a rule does not name may
    have any value.

    Args:
        if_: Input name to term name, for one or more inputs. Kept as a tuple of pairs.
        then: Output name to term name, for every output. Kept likewise.
        weight: In [0, 1], the factor of the rule's firing strength. Default 1.0.
        why: One sentence that gives the reason for the rule. Default none.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a side is empty or names a variable twice, or the weight is
            outside [0, 1].

    Example:

    >>> rule = Rule({"loss_trend": "rising"}, {"gain_rate": "cut", "beta_3": "short"})
    >>> rule.antecedent
    {'loss_trend': 'rising'}
    >>> print(rule)
    if loss_trend=rising then beta_3=short, gain_rate=cut
    """

    if_: Mapping[str, str] | Assignments
    then: Mapping[str, str] | Assignments
    weight: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        for side in ("if_", "then"):
            pairs = _assignments(getattr(self, side), f"`{side}` of a rule")
            object.__setattr__(self, side, pairs)
        weight = checks.weight_of(self.weight, f"The weight of the rule '{self}'")
        object.__setattr__(self, "weight", weight)
        why = checks.string(self.why, f"`why` of the rule '{self}'")
        if len(why) > LONGEST_WHY:
            raise ValueError(
                f"`why` of the rule '{self}' must have at most {LONGEST_WHY} "
                f"characters. Received: {len(why)} characters"
            )

    @property
    def antecedent(self) -> dict[str, str]:
        """Input name to term name."""
        return dict(cast(Assignments, self.if_))

    @property
    def consequent(self) -> dict[str, str]:
        """Output name to term name.

        Example:

        >>> Rule({"progress": "late"}, {"gain": "low", "beta_3": "long"}).consequent
        {'beta_3': 'long', 'gain': 'low'}
        """
        return dict(cast(Assignments, self.then))

    def __str__(self) -> str:
        sides = [
            ", ".join(f"{variable}={term}" for variable, term in side.items())
            for side in (self.antecedent, self.consequent)
        ]
        return f"if {sides[0]} then {sides[1]}"


def firing(
    rule: Rule, inputs: Sequence[Variable], strengths: Sequence[np.ndarray]
) -> np.ndarray:
    """The strength of a rule: its weight times the least membership that it asks for.

    `strengths` are the memberships in the terms of each input, one row to a term; the
    strength is an array of the shape that the rows broadcast to.
    """
    shape = np.broadcast_shapes(*(rows.shape[1:] for rows in strengths))
    named = [
        rows[variable.term_names.index(rule.antecedent[variable.name])]
        for variable, rows in zip(inputs, strengths, strict=True)
        if variable.name in rule.antecedent
    ]
    return np.broadcast_to(rule.weight * reduce(np.minimum, named), shape)


def _assignments(side: Any, what: str) -> Assignments:
    given = side.items() if isinstance(side, Mapping) else side
    pairs = checks.sequence(given, what, "pairs of a variable and a term, or a mapping")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"{what} must hold pairs of a variable and a term. "
                f"Received: {checks.abbreviated(pair)}"
            )
        checks.name_of(pair[0], f"A variable in {what}")
        checks.name_of(pair[1], f"A term in {what}")
    checks.refuse_twins((name for name, _ in pairs), f"The variables in {what}")
    if not pairs:
        raise ValueError(
            f"{what} must name at least one variable. "
            f"Received: {checks.abbreviated(side)}"
        )
    return tuple(sorted(map(tuple, pairs)))
