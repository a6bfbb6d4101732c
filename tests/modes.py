"""The ways to use the optimizer that every row of the contract table is run with."""

from keras_fuzzyhess import FuzzyHess

MODES = {
    "default": lambda **kwargs: FuzzyHess(seed=1, **kwargs),
    "adam_direction": lambda **kwargs: FuzzyHess(seed=1, curvature_power=0.0, **kwargs),
    "pure_curvature": lambda **kwargs: FuzzyHess(seed=1, curvature_power=1.0, **kwargs),
    "salo": lambda **kwargs: FuzzyHess.salo(**kwargs),
}
