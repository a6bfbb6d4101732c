"""What hypermodels whose trials differ by the rules of the optimizer share."""

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import keras
import keras_tuner

from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.tuner.search_space import resolve_base, resolve_groups, rule_base


class RuleBaseHyperModel(keras_tuner.HyperModel):
    """Checks and keeps the arguments that say what is varied."""

    def __init__(
        self,
        base: RuleBase | str | PathLike[str] | None,
        search: Iterable[str],
        optimizer_fn: Callable[..., keras.optimizers.Optimizer],
    ):
        check_function("optimizer_fn", optimizer_fn)
        super().__init__()
        self.base = resolve_base(base)
        self.search = resolve_groups(search)
        self.optimizer_fn = optimizer_fn

    def rule_base(self, hp: keras_tuner.HyperParameters) -> RuleBase:
        """The rule base of a trial."""
        return rule_base(hp, self.base, self.search)


def check_function(name: str, value: Any) -> None:
    """Raises a `TypeError` unless the argument is a function or the like.

    >>> check_function("build_fn", "network")
    Traceback (most recent call last):
        ...
    TypeError: `build_fn` must be a function. Received: build_fn='network'
    """
    if not callable(value) or isinstance(value, keras.Model):
        raise TypeError(f"`{name}` must be a function. Received: {name}={value!r}")


def describe(varied: RuleBase) -> str:
    """What the values of a trial mean: terms where they lie, and weights.

    KerasTuner's own display lists hyperparameters as they are searched, where a
    breakpoint is a fraction of what is left of its range.

    >>> from keras_fuzzyhess.fuzzy import paper_rule_base
    >>> print(describe(paper_rule_base()))
    Rule base 'paper'
      loss_trend  rising (-1, 0), flat (-1, 0, 1), falling (0, 1)
      progress    early (0.1, 0.5), middle (0.1, 0.5, 0.9), late (0.5, 0.9)
      gain        tiny (0, 0.1, 0.2), small (0.2, 0.3, 0.4), half (0.4, 0.5, 0.6), \
full (0.9, 1, 1.1)
      beta_3      short (0.891, 0.9, 0.909), medium (0.941, 0.95, 0.959), \
long (0.981, 0.99, 0.999)
      weights     1 1 1 1 1 1 1 1 1
    """
    rows = [
        (
            variable.name,
            ", ".join(
                f"{term.name} ({', '.join(f'{p:.4g}' for p in term.points)})"
                for term in variable.terms
            ),
        )
        for variable in varied.inputs + varied.outputs
    ]
    rows.append(("weights", " ".join(f"{rule.weight:.3g}" for rule in varied.rules)))
    lines = [f"  {name:<12}{text}" for name, text in rows]
    return "\n".join([f"Rule base '{varied.name}'", *lines])
