"""What hypermodels whose trials differ by the rules of the optimizer share."""

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import keras
import keras_tuner

from keras_fuzzyhess.fuzzy import RuleBase
from keras_fuzzyhess.tuner.search_space import resolve_base, resolve_groups, rule_base


class RuleBaseHyperModel(keras_tuner.HyperModel):
    """Base of hypermodels that search a rule base.

    Args:
        base: The `RuleBase` to vary, the path of its JSON file or None, the default.
        search: What is searched, see `rule_base`.
        optimizer_fn: What makes the optimizer from `rule_base=...`.

    Raises:
        TypeError: if `base` is no rule base, or if `optimizer_fn` cannot be called.
        ValueError: if `search` names no group or an unknown one.
    """

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

    Example:

    >>> check_function("build_fn", "network")
    Traceback (most recent call last):
        ...
    TypeError: `build_fn` must be a function. Received: build_fn='network'
    """
    if not callable(value) or isinstance(value, keras.Model):
        raise TypeError(f"`{name}` must be a function. Received: {name}={value!r}")
