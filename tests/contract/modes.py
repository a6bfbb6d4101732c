"""The ways to use the optimizer: the columns of the table.

Together they have every direction, with and without curvature.
"""

import functools
from collections.abc import Callable

from keras_fuzzyhess import FuzzyHess
from tests.helpers import rule_bases

Make = Callable[..., FuzzyHess]
"""Makes the optimizer of a mode, with further arguments."""

# The two rule bases once each: compiling one takes longer than a training here.
_five_by_five = functools.cache(rule_bases.five_by_five)
_control_system = functools.cache(rule_bases.trapezoids_of_the_user)

MODES: dict[str, Make] = {
    "default": lambda **kwargs: FuzzyHess(seed=1, **kwargs),
    "SALO": lambda **kwargs: FuzzyHess.salo(**kwargs),
    "5 x 5 rules": lambda **kwargs: FuzzyHess(
        seed=1, rule_base=_five_by_five(), direction="diagonal", **kwargs
    ),
    "ControlSystem": lambda **kwargs: FuzzyHess(
        seed=1, rule_base=_control_system(), curvature_power=0.5, **kwargs
    ),
    "orthogonal": lambda **kwargs: FuzzyHess(seed=1, direction="orthogonal", **kwargs),
}
