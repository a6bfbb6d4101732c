"""The fuzzy system: a rule base as data, compiled to a surface for the training graph.

`RuleBase` (of `Variable`, `Term` and `Rule`) is what a user writes, saves and loads;
`control_surface` turns it, or a `ControlSystem` of scikit-fuzzy, into a
`ControlSurface`, which the optimizer looks up in every step.
"""

from keras_fuzzyhess.fuzzy.compilation import (
    compile_surface,
    control_surface,
    resolve_rule_base,
    restore_rule_base,
)
from keras_fuzzyhess.fuzzy.default_rules import default_rule_base, paper_rule_base
from keras_fuzzyhess.fuzzy.inference import firing_strengths, infer
from keras_fuzzyhess.fuzzy.rule import Rule
from keras_fuzzyhess.fuzzy.rule_base import RuleBase, to_control_system
from keras_fuzzyhess.fuzzy.surface import ControlSurface
from keras_fuzzyhess.fuzzy.user_system import surface_from_control_system
from keras_fuzzyhess.fuzzy.variable import Term, Variable

__all__ = [
    "ControlSurface",
    "Rule",
    "RuleBase",
    "Term",
    "Variable",
    "compile_surface",
    "control_surface",
    "default_rule_base",
    "firing_strengths",
    "infer",
    "paper_rule_base",
    "resolve_rule_base",
    "restore_rule_base",
    "surface_from_control_system",
    "to_control_system",
]
