"""FuzzyHess with one part taken away or replaced by another."""

import dataclasses

import numpy as np
import tensorflow as tf

from benchmarks.contestants import Contestant
from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.fuzzy import (
    ControlSurface,
    RuleBase,
    default_rule_base,
    paper_rule_base,
)


def no_control() -> ControlSurface:
    """A gain that never changes, and a fixed momentum of the curvature."""
    return ControlSurface(
        "no_control",
        {"loss_trend": np.array([-1.0, 1.0]), "progress": np.array([0.0, 1.0])},
        {"gain_rate": np.zeros((2, 2)), "beta_3": np.full((2, 2), 0.95)},
    )


def long_memory() -> RuleBase:
    """The default rules with `beta_3` between 0.9 and 0.99, SALO's peaks."""
    default, paper = default_rule_base(), paper_rule_base()
    gain_rate, _ = default.outputs
    return dataclasses.replace(default, outputs=(gain_rate, paper.outputs[1]))


class LongFirstSteps(FuzzyHess):
    """What the length probe finds is not used."""

    def observe_length(self, probe):
        pass


class ConstantShift(FuzzyHess):
    """All weights shifted the same way, as in arXiv 2403.15416: row sums."""

    def signs(self, gradients, state):
        return [tf.ones_like(gradient) for gradient in gradients]


class PlainMomentum(FuzzyHess):
    """Adam's momentum, in which the last gradient has no share of its own."""

    gradient_share = 0.0


class Signed(FuzzyHess):
    """Absolute value of the average curvature in place of its root mean square."""

    def curvature_state(self, variables):
        return SALO.curvature_state(self, variables)

    def curvature_scale(self, averages):
        return SALO.curvature_scale(self, averages)


def _without_control():
    return FuzzyHess(rule_base=no_control())


ABLATIONS = {
    "no control": Contestant(_without_control),
    "cosine, no control": Contestant(_without_control, schedules=("cosine",)),
    "cosine and control": Contestant(FuzzyHess, schedules=("cosine",)),
    "no length probe": Contestant(LongFirstSteps),
    "constant shift": Contestant(ConstantShift),
    "signed curvature": Contestant(Signed),
    "plain momentum": Contestant(PlainMomentum),
    "beta_2 = 0.99": Contestant(lambda: FuzzyHess(beta_2=0.99)),
    "long beta_3": Contestant(lambda: FuzzyHess(rule_base=long_memory())),
    "p = 0": Contestant(lambda: FuzzyHess(curvature_power=0.0)),
    "p = 1": Contestant(lambda: FuzzyHess(curvature_power=1.0)),
    "k = 2": Contestant(lambda: FuzzyHess(probe_interval=2)),
    "k = 5": Contestant(lambda: FuzzyHess(probe_interval=5)),
    "k = 25": Contestant(lambda: FuzzyHess(probe_interval=25)),
}
"""By name, as they differ from `FuzzyHess()`."""
