"""Search of the weights of the rules."""

from dataclasses import replace

import keras_tuner

from keras_fuzzyhess.fuzzy import Rule, RuleBase
from keras_fuzzyhess.tuner.variation import PREFIX, SAME, check_kind

SMALLEST_WEIGHT = 0.05
"""Least weight of a rule. Our choice: above 0, for then it would leave a gap."""


def rule_weights(hp: keras_tuner.HyperParameters, base: RuleBase) -> tuple[Rule, ...]:
    """The rules of a rule base with other weights.

    Rules with the same finding about the loss trend share a weight, for what is in
    doubt is how far that finding can be trusted. Of the default rule base:

    | hyperparameter | rules |
    |---|---|
    | `rule_base/weight/rising` | rising and early, middle, late |
    | `rule_base/weight/flat` | flat and early, middle, late |
    | `rule_base/weight/falling` | falling and early, middle, late |

    Rules that do not ask for the trend share `rule_base/weight/any`. The value, in
    [0.05, 1], is the largest weight of these rules; the others keep their ratio to it.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        base: A `RuleBase`.

    Returns:
        Tuple of `Rule`, in the order of the base.

    Raises:
        TypeError: if `base` is no `RuleBase`.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.Fixed("rule_base/weight/flat", 0.5)
    0.5
    >>> [rule.weight for rule in rule_weights(hp, default_rule_base())]
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    """
    check_kind("base", base, RuleBase)
    largest: dict[str, float] = {}
    for rule in base.rules:
        finding = rule.antecedent.get("loss_trend", "any")
        largest[finding] = max(largest.get(finding, 0.0), rule.weight)
    factors = {}
    for finding, default in largest.items():
        if default == 0.0:  # rules that are switched off stay so
            factors[finding] = 1.0
            continue
        name = f"{PREFIX}weight/{finding}"
        weight = hp.Float(name, min(SMALLEST_WEIGHT, default), 1.0, default=default)
        factors[finding] = 1.0 if abs(weight - default) <= SAME else weight / default
    return tuple(
        replace(rule, weight=min(rule.weight * factors[finding], 1.0))
        for rule in base.rules
        for finding in [rule.antecedent.get("loss_trend", "any")]
    )
