"""The rule base: everything the controller knows, as immutable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from keras_fuzzyhess.fuzzy import checks, json_data
from keras_fuzzyhess.fuzzy.control_system import control_system
from keras_fuzzyhess.fuzzy.rule import Rule
from keras_fuzzyhess.fuzzy.signals import SIGNALS, Law, law_of
from keras_fuzzyhess.fuzzy.soundness import check_sound
from keras_fuzzyhess.fuzzy.variable import Term, Variable

if TYPE_CHECKING:
    from skfuzzy.control import ControlSystem

MOST_RULES = 200
"""Rules of a rule base, at most: more than two per cell of a 9 by 9 table."""

MOST_SAMPLES = 10001
"""Evenly spaced points of the universe of a control system, at most."""


@dataclass(frozen=True, slots=True)
class RuleBase:
    """A complete Mamdani fuzzy system for the optimizer.

    Inputs. The first two are needed, the third may be left out:

    - `loss_trend` in [-1, 1]: how the loss moves in units of its scatter, or of
      a share of the fall to come if that is more, positive
      when it falls;
    - `progress` in [0, 1]: how far the training has come;
    - `loss_fall` in [-1, 1]: how much of the fall that `loss_trend` promises is seen,
      see `keras_fuzzyhess.measure.averaged_loss`.

    Outputs, `beta_3` and one of the other two:

    - `beta_3` in [0, 1): momentum of the second derivative;
    - `gain_rate` in [-1, 1]: the rate law (our choice), at every step
      `c <- clip(c exp(gain_rate / (1 + step / 100)), 0.001, 1000)`;
    - `gain` in (0, 10]: the direct law, `c = gain`, as arXiv 2403.15416 has it.

    A rule base that has been made is sound: at every combination of inputs some rule of
    positive weight fires, and every rule that fires names a term of positive area for
    each output, so inference (Mamdani and Assilian, 1975) has an answer everywhere.

    Args:
        name: Its name.
        inputs: The input variables. Kept in the order above.
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
        checks.name_of(self.name, "The name of a rule base")
        this = f"rule base '{self.name}'"
        for side in ("inputs", "outputs"):
            what = f"`{side}` of {this}"
            variables = checks.tuple_of(Variable, getattr(self, side), what, at_most=9)
            checks.refuse_twins((v.name for v in variables), what)
            object.__setattr__(self, side, tuple(sorted(variables, key=_rank)))
        rules = checks.tuple_of(Rule, self.rules, f"`rules` of {this}", MOST_RULES)
        object.__setattr__(self, "rules", rules)
        check_sound(f"Rule base '{self.name}'", self.inputs, self.outputs, rules)

    @property
    def law(self) -> Law:
        """Law of the gain: "rate" with the output `gain_rate`, "direct" with `gain`."""
        return law_of((v.name for v in self.outputs), f"Rule base '{self.name}'")

    def to_control_system(self, samples: int = 201) -> ControlSystem:
        """The rule base as a `skfuzzy.control.ControlSystem`.

        See `keras_fuzzyhess.fuzzy.to_control_system`, with its errors and an example.
        """
        return to_control_system(self, samples)

    def to_dict(self) -> dict[str, Any]:
        """The rule base as data that JSON can hold; `from_dict` restores it.

        Example:

        >>> from keras_fuzzyhess.fuzzy import default_rule_base
        >>> list(default_rule_base().to_dict())
        ['schema_version', 'kind', 'name', 'inputs', 'outputs', 'rules']
        """
        return json_data.header("rule_base") | {
            "name": self.name,
            "inputs": [_variable_to_dict(variable) for variable in self.inputs],
            "outputs": [_variable_to_dict(variable) for variable in self.outputs],
            "rules": [
                {
                    "if": rule.antecedent,
                    "then": rule.consequent,
                    "weight": rule.weight,
                    "why": rule.why,
                }
                for rule in self.rules
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RuleBase:
        """The rule base that `to_dict` gave `data` for.

        A rule may lack `weight` and `why`; nothing else may be missing or added.

        Raises:
            TypeError: If `data` is not a mapping.
            ValueError: If it is no sound rule base of schema version 1.

        Example:

        >>> from keras_fuzzyhess.fuzzy import default_rule_base
        >>> RuleBase.from_dict(default_rule_base().to_dict() | {"name": "mine"}).name
        'mine'
        """
        parts = ("name", "inputs", "outputs", "rules")
        return json_data.restored(data, "rule_base", parts, cls._of_lists)

    @classmethod
    def _of_lists(cls, name: Any, inputs: Any, outputs: Any, rules: Any) -> RuleBase:
        return cls(
            name,
            tuple(_variable(*entry) for entry in _entries(inputs, "inputs")),
            tuple(_variable(*entry) for entry in _entries(outputs, "outputs")),
            tuple(_rule(*entry) for entry in _entries(rules, "rules")),
        )

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
        json_data.write_json(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RuleBase:
        """Reads the rule base from a JSON file.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds no sound rule base of schema version 1; the message
                begins with the path.

        An example is that of `save`.
        """
        try:
            data = json_data.read_json(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                "The file of a rule base must exist; `RuleBase.save` writes one. "
                f"Received: '{fspath(path)}'"
            ) from error
        try:
            return cls.from_dict(data)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{fspath(path)}' holds no rule base. {error}") from error


def to_control_system(rule_base: RuleBase, samples: int = 201) -> ControlSystem:
    """The rule base as a `skfuzzy.control.ControlSystem`.

    scikit-fuzzy samples memberships on a universe. Each universe here has `samples`
    evenly spaced points, all breakpoints of the variable's terms, and the points where
    two terms cross; so its results differ from exact inference only where the cut of
    one term meets the edge of another between two points.

    The weight of a rule becomes the weight of each of its consequents
    (`consequent % weight`), for scikit-fuzzy has no other; a rule of weight 0, which
    has no effect, is left out. An input that no rule names is not in the system.

    scikit-fuzzy keeps every system that has been simulated alive for ever, in
    dictionaries of its classes. Making one does not; many simulations in one process
    do.

    Args:
        rule_base: The rule base.
        samples: Evenly spaced points of each universe, 2 to 10001. Default 201, at
            which results for the default rule base differ from exact inference by less
            than 0.01 % of the range.

    Returns:
        The control system. Antecedents and consequents carry the names of the
        variables.

    Raises:
        TypeError: If `rule_base` is no `RuleBase` or `samples` no integer.
        ValueError: If `samples` is out of range.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> system = to_control_system(default_rule_base())
    >>> sorted(antecedent.label for antecedent in system.antecedents)
    ['loss_fall', 'loss_trend', 'progress']
    """
    if not isinstance(rule_base, RuleBase):
        raise TypeError(
            f"`rule_base` must be a RuleBase. Received: {checks.with_type(rule_base)}"
        )
    if isinstance(samples, bool) or not isinstance(samples, int):
        raise TypeError(
            f"`samples` must be an integer. Received: {checks.with_type(samples)}"
        )
    if not 2 <= samples <= MOST_SAMPLES:
        raise ValueError(f"`samples` must be 2 to {MOST_SAMPLES}. Received: {samples}")
    parts = rule_base.inputs, rule_base.outputs, rule_base.rules
    return control_system(*parts, samples)


def _rank(variable: Variable) -> tuple[int, str]:
    order = [*SIGNALS, variable.name]
    return order.index(variable.name), variable.name


def _variable_to_dict(variable: Variable) -> dict[str, Any]:
    terms = [asdict(term) | {"points": list(term.points)} for term in variable.terms]
    return asdict(variable) | {"terms": terms}


def _entries(data: Any, where: str) -> list[tuple[Any, str]]:
    """The members of a list with their places, such as `inputs[0].terms[2]`."""
    # A configuration that went through Keras may have tuples in place of lists.
    if not isinstance(data, list | tuple):
        raise ValueError(
            f"'{where}' must be a list. Received: {checks.abbreviated(data)}"
        )
    return [(entry, f"{where}[{number}]") for number, entry in enumerate(data)]


def _variable(data: Any, where: str) -> Variable:
    json_data.check_keys(data, where, ("name", "low", "high", "terms"))
    terms = []
    for term, there in _entries(data["terms"], f"{where}.terms"):
        json_data.check_keys(term, there, ("name", "shape", "points"))
        _entries(term["points"], f"{there}.points")
        terms.append(Term(**term))
    return Variable(data["name"], data["low"], data["high"], tuple(terms))


def _rule(data: Any, where: str) -> Rule:
    json_data.check_keys(data, where, ("if", "then"), ("weight", "why"))
    for side in ("if", "then"):
        if not isinstance(data[side], Mapping):
            raise ValueError(
                f"'{side}' of {where} must be an object that maps variables to terms. "
                f"Received: {checks.abbreviated(data[side])}"
            )
    return Rule(data["if"], data["then"], data.get("weight", 1.0), data.get("why", ""))
