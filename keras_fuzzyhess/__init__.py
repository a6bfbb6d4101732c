"""FuzzyHess: a second-order Keras optimizer without learning-rate tuning."""

from keras_fuzzyhess.averages_in_validation import AveragesInValidation, averages_in
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzyhess import FuzzyHess
from keras_fuzzyhess.monitor import FuzzyHessMonitor
from keras_fuzzyhess.salo import SALO

__all__ = [
    "SALO",
    "AveragesInValidation",
    "FuzzyHess",
    "FuzzyHessMonitor",
    "RuleBase",
    "averages_in",
]
