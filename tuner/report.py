"""A rule base and a search in words, for a terminal."""

from keras_fuzzyhess.fuzzy import RuleBase


def describe(rule_base: RuleBase) -> str:
    """What the values of a trial mean: terms where they lie, and weights.

    KerasTuner's own display lists hyperparameters as they are searched, where a
    breakpoint is a fraction of what is left of its range.

    Args:
        rule_base: A `RuleBase`.

    Returns:
        Several lines.

    Example:

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
        for variable in rule_base.inputs + rule_base.outputs
    ]
    rows.append(("weights", " ".join(f"{rule.weight:.3g}" for rule in rule_base.rules)))
    lines = [f"  {name:<12}{text}" for name, text in rows]
    return "\n".join([f"Rule base '{rule_base.name}'", *lines])
