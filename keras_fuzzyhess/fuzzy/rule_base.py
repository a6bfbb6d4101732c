"""The rule base: everything the controller knows, as immutable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fuzzyhess.fuzzy import coverage, serialization
from keras_fuzzyhess.fuzzy.checks import (
    abbreviated,
    name_of,
    refuse_twins,
    tuple_of,
)
from keras_fuzzyhess.fuzzy.inference import memberships
from keras_fuzzyhess.fuzzy.rule import Rule
from keras_fuzzyhess.fuzzy.signals import INPUTS, SIGNALS, Law, law_of
from keras_fuzzyhess.fuzzy.variable import Variable

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

MOST_RULES = 200
"""Rules of a rule base, at most: more than two per cell of a 9 by 9 table."""

SMALLEST_SET = 1e-6
"""Least width of an output term, as a share of the range, to have a centroid."""


@dataclass(frozen=True, slots=True)
class RuleBase:
    """A complete Mamdani fuzzy system for the optimizer.

    Inputs, both of them:

    - `loss_trend` in [-1, 1]: how the loss moves in units of its scatter, positive
      when it falls;
    - `progress` in [0, 1]: how far the training has come.

    Outputs, `beta_3` and one of the other two:

    - `beta_3` in [0, 1): momentum of the second derivative;
    - `gain_rate` in [-1, 1]: the rate law (our choice), at every step
      `c <- clip(c exp(gain_rate / (1 + step / 100)), 0.001, 1000)`;
    - `gain` in (0, 10]: the direct law, `c = gain`, as arXiv 2403.15416 has it.

    A rule base that has been made is sound: at every point of the input square some
    rule of positive weight fires, and every rule that fires names a term of positive
    area for each output, so inference (Mamdani and Assilian, 1975) has an answer
    everywhere.

    Args:
        name: Its name.
        inputs: The two input variables. Kept in the order above.
        outputs: The two output variables. Kept with `beta_3` last.
        rules: 1 to 200 rules.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the rule base is not sound; the message names the part that is
            at fault, the value received and the remedy.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> rule_base = default_rule_base()
    >>> rule_base.law
    'rate'
    >>> RuleBase.from_dict(rule_base.to_dict()) == rule_base
    True
    """

    name: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        name_of(self.name, "The name of a rule base")
        for side in ("inputs", "outputs"):
            what = f"`{side}` of rule base '{self.name}'"
            variables = tuple_of(Variable, getattr(self, side), what, at_most=9)
            refuse_twins((v.name for v in variables), what)
            object.__setattr__(self, side, tuple(sorted(variables, key=_rank)))
        rules = tuple_of(
            Rule, self.rules, f"`rules` of rule base '{self.name}'", MOST_RULES
        )
        object.__setattr__(self, "rules", rules)
        self._check_signals()
        for number, rule in enumerate(self.rules, 1):
            self._check_rule(f"rule {number} ('{abbreviated(str(rule))[1:-1]}')", rule)
        self._check_coverage()

    @property
    def law(self) -> Law:
        """Law of the gain: "rate" with the output `gain_rate`, "direct" with `gain`."""
        names = tuple(variable.name for variable in self.outputs)
        return law_of(names, f"Rule base '{self.name}'")

    def to_control_system(self, samples: int = 201) -> ControlSystem:
        """The rule base as a `skfuzzy.control.ControlSystem`.

        See `keras_fuzzyhess.fuzzy.to_control_system`, with its errors and an example.
        """
        from keras_fuzzyhess.fuzzy.control_system import to_control_system

        return to_control_system(self, samples)

    def to_dict(self) -> dict[str, Any]:
        """The rule base as data that JSON can hold; `from_dict` restores it.

        Example:

        >>> from keras_fuzzyhess.fuzzy import default_rule_base
        >>> list(default_rule_base().to_dict())
        ['schema_version', 'kind', 'name', 'inputs', 'outputs', 'rules']
        """
        return serialization.rule_base_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RuleBase:
        """The rule base that `to_dict` gave `data` for.

        Raises:
            TypeError: If `data` is not a mapping.
            ValueError: If it is no sound rule base of schema version 1.

        Example:

        >>> from keras_fuzzyhess.fuzzy import default_rule_base
        >>> RuleBase.from_dict(default_rule_base().to_dict() | {"name": "mine"}).name
        'mine'
        """
        return serialization.rule_base_from_dict(data)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the rule base as a JSON file: whole, or not at all.

        Raises:
            OSError: If the folder does not exist or cannot be written.

        Example:

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from keras_fuzzyhess.fuzzy import default_rule_base
        >>> with TemporaryDirectory() as folder:
        ...     default_rule_base().save(Path(folder) / "rules.json")
        ...     RuleBase.load(Path(folder) / "rules.json") == default_rule_base()
        True
        """
        serialization.write_json(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RuleBase:
        """Reads the rule base from a JSON file.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds no sound rule base of schema version 1.

        An example is that of `save`.
        """
        return serialization.load_rule_base(path)

    def _check_signals(self) -> None:
        names = [variable.name for variable in self.inputs]
        if names != list(INPUTS):
            raise ValueError(
                f"Rule base '{self.name}' must have the inputs 'loss_trend' and "
                f"'progress', each once, and no other. Received: {abbreviated(names)}"
            )
        self.law  # noqa: B018 - raises if the outputs are not the documented ones
        for variable in self.inputs + self.outputs:
            SIGNALS[variable.name].check_range(
                variable.low, variable.high, f"variable '{variable.name}'"
            )
        for variable in self.inputs:
            coverage.check_edges(variable)
            coverage.check_covered(variable)

    def _check_rule(self, what: str, rule: Rule) -> None:
        for side, given, variables in (
            ("input", rule.antecedent, self.inputs),
            ("output", rule.consequent, self.outputs),
        ):
            known = {variable.name: variable for variable in variables}
            for name, term in given.items():
                if name not in known:
                    raise ValueError(
                        f"{what.capitalize()} must name {side}s of the rule base "
                        f"only; these are {', '.join(known)}. Received: '{name}'"
                    )
                if term not in known[name].term_names:
                    raise ValueError(
                        f"{what.capitalize()} must name a term that {name} has; these "
                        f"are {', '.join(known[name].term_names)}. Received: '{term}'"
                    )
        for variable in self.outputs:
            if variable.name not in rule.consequent:
                raise ValueError(
                    f"{what.capitalize()} must give a consequent for every output. Add "
                    f"a term of '{variable.name}' to its `then`. "
                    f"Received: {rule.consequent}"
                )
            term = rule.consequent[variable.name]
            a, _, _, d = variable.corners(term)
            if d - a < SMALLEST_SET * (variable.high - variable.low):
                raise ValueError(
                    f"Output term '{term}' of variable '{variable.name}', used by "
                    f"{what}, must have positive area, or it has no centroid. Move "
                    f"its points apart. Received: all of it at {a:g}"
                )

    def _check_coverage(self) -> None:
        gap = coverage.first_gap(self.inputs, self._fires)
        if gap is not None:
            cell = ", ".join(
                f"{variable.name}={_strongest_term(variable, value)}"
                for variable, value in zip(self.inputs, gap, strict=True)
            )
            raise ValueError(
                f"Rule base '{self.name}' must have a rule of positive weight for "
                f"every cell of the input square. Add a rule for {cell}. Received: "
                f"no rule that fires at {INPUTS[0]}={gap[0]:g}, {INPUTS[1]}={gap[1]:g}"
            )

    def _fires(self, *positive: np.ndarray) -> np.ndarray:
        fired = np.zeros(
            np.broadcast_shapes(positive[0][0].shape, positive[1][0].shape)
        )
        for rule in self.rules:
            if rule.weight > 0.0:
                strength = np.ones((), bool)
                for variable, holds in zip(self.inputs, positive, strict=True):
                    term = rule.antecedent.get(variable.name)
                    if term is not None:
                        strength = strength & holds[variable.term_names.index(term)]
                fired = np.maximum(fired, strength)
        return fired > 0


def _rank(variable: Variable) -> tuple[int, str]:
    order = tuple(SIGNALS)
    known = variable.name in SIGNALS
    return (order.index(variable.name) if known else len(order)), variable.name


def _strongest_term(variable: Variable, value: float) -> str:
    strengths = memberships(variable, np.array([value]))[:, 0]
    return variable.term_names[int(np.argmax(strengths))]
