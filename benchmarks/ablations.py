"""FuzzyHess with one part taken away or replaced by another."""

import functools

import tensorflow as tf

from benchmarks.contestants import Contestant
from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.fuzzy import ControlSurface


def no_control() -> ControlSurface:
    """A gain that never changes, and a fixed momentum of the curvature."""
    return ControlSurface(
        "no_control",
        {"loss_trend": [-1, 1], "progress": [0, 1]},
        {"gain_rate": [[0.0, 0.0]] * 2, "beta_3": [[0.95, 0.95]] * 2},
    )


class ConstantShift(FuzzyHess):
    """All weights shifted the same way, as in arXiv 2403.15416: row sums."""

    def signs(self, gradients):
        return [tf.ones_like(gradient) for gradient in gradients]


class Signed(FuzzyHess):
    """Absolute value of the average curvature in place of its root mean square."""

    def average_curvature(self, samples, variables):
        super(FuzzyHess, self).average_curvature(samples, variables)

    def curvature_scale(self, variables):
        weight = self._curvature_weight.value
        return [
            tf.abs(tf.math.divide_no_nan(d, tf.cast(weight, d.dtype)))
            for d in self.read_state(self._curvature, variables)
        ]


def _without_control():
    return FuzzyHess(rule_base=no_control())


ABLATIONS = {
    "no control": Contestant(_without_control),
    "cosine, no control": Contestant(_without_control, schedules=("cosine",)),
    "cosine and control": Contestant(FuzzyHess, schedules=("cosine",)),
    "constant shift": Contestant(ConstantShift),
    "signed curvature": Contestant(Signed),
} | {
    name: Contestant(functools.partial(FuzzyHess, **arguments))
    for name, arguments in {
        "p = 0": {"curvature_power": 0.0},
        "p = 1": {"curvature_power": 1.0},
        "k = 2": {"probe_interval": 2},
        "k = 5": {"probe_interval": 5},
        "k = 25": {"probe_interval": 25},
    }.items()
}
"""By name, as they differ from `FuzzyHess()`."""
