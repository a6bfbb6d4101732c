"""FuzzyHess with one part taken away or replaced by another."""

from typing import Any

import numpy as np

from benchmarks.contestants import Contestant
from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import ControlSurface


def no_control() -> ControlSurface:
    """A gain that never changes, and a fixed momentum of the curvature."""
    return ControlSurface(
        "no_control",
        {"loss_trend": np.array([-1.0, 1.0]), "progress": np.array([0.0, 1.0])},
        {"gain_rate": np.zeros((2, 2)), "beta_3": np.full((2, 2), 0.95)},
    )


def constant_shift() -> FuzzyHess:
    """All weights shifted the same way, as in arXiv 2403.15416: row sums."""
    optimizer = FuzzyHess(direction="orthogonal")
    curvature: Any = optimizer.algorithm.curvature
    curvature.signs = False
    return optimizer


def plain_momentum() -> FuzzyHess:
    """Adam's momentum, in which the last gradient has no share of its own."""
    direction: Any = FuzzyHess().direction
    direction.scaled.gradient_share = 0.0
    return FuzzyHess(direction=direction)


def fixed_memory() -> FuzzyHess:
    """Gradients remembered as long, whether they oscillate or not."""
    direction: Any = FuzzyHess().direction
    direction.scaled.memory = None
    return FuzzyHess(direction=direction)


def _without_control():
    return FuzzyHess(rule_base=no_control())


DIRECTIONS = {
    "diagonal": Contestant(lambda: FuzzyHess(direction="diagonal")),
    "orthogonal": Contestant(lambda: FuzzyHess(direction="orthogonal")),
    "orthogonal, p = 0": Contestant(
        lambda: FuzzyHess(direction="orthogonal", curvature_power=0.0)
    ),
    "orthogonal, p = 1": Contestant(
        lambda: FuzzyHess(direction="orthogonal", curvature_power=1.0)
    ),
    "p = 0.5": Contestant(lambda: FuzzyHess(curvature_power=0.5)),
}
"""Other directions than the default."""

PARTS = {
    "no control": Contestant(_without_control),
    "orthogonal, constant shift": Contestant(constant_shift),
    "plain momentum": Contestant(plain_momentum),
    "fixed memory": Contestant(fixed_memory),
    "k = 2": Contestant(lambda: FuzzyHess(probe_interval=2)),
    "k = 25": Contestant(lambda: FuzzyHess(probe_interval=25)),
}
"""Parts taken away or replaced, and other constants."""

ABLATIONS = DIRECTIONS | PARTS
"""By name, as they differ from `FuzzyHess()`."""
