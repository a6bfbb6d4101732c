"""KerasTuner searches the fuzzy rules that drive the optimizer.

Raises:
    ImportError: if KerasTuner is not installed.

Example:

>>> import keras_tuner
>>> from keras_fuzzyhess.fuzzy import default_rule_base
>>> rule_base(keras_tuner.HyperParameters()) == default_rule_base()
True
"""

try:
    import keras_tuner  # noqa: F401
except ImportError as error:
    raise ImportError(
        "`keras_fuzzyhess.tuner` needs KerasTuner. Install it with "
        '`pip install "keras-fuzzyhess[tuner]"`.'
    ) from error

from keras_fuzzyhess.tuner.clean_search import clean_search
from keras_fuzzyhess.tuner.export import best_rule_base, export
from keras_fuzzyhess.tuner.hyper_model import FuzzyHessHyperModel
from keras_fuzzyhess.tuner.search_space import rule_base, rule_base_of
from keras_fuzzyhess.tuner.tpe import TPE, TPEOracle
from keras_fuzzyhess.tuner.tuners import (
    BayesianOptimization,
    GridSearch,
    Hyperband,
    RandomSearch,
)
from keras_fuzzyhess.tuner.variation import breakpoints, outputs, rule_weights
from keras_fuzzyhess.tuner.workloads import Workload, WorkloadsHyperModel

__all__ = [
    "TPE",
    "BayesianOptimization",
    "FuzzyHessHyperModel",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "TPEOracle",
    "Workload",
    "WorkloadsHyperModel",
    "best_rule_base",
    "breakpoints",
    "clean_search",
    "export",
    "outputs",
    "rule_base",
    "rule_base_of",
    "rule_weights",
]
