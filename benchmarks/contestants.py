"""Who takes part: optimizers, and what is tried of each."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from benchmarks.hessian_peers import AdaHessian, Sophia
from benchmarks.results import RECORDED
from benchmarks.soap import SOAP
from keras_fuzzyhess import SALO, FuzzyHess

GRID = tuple(float(np.round(10 ** (k / 2), 5)) for k in range(-4, 5))
"""Nine learning rates as multiples of a middle one, half a decade apart."""

SCHEDULES = ("constant", "cosine", "warm-up, cosine")

LEARNED_RULES = RECORDED.parent / "learned_rules.json"
"""The `rule_base.json` of `python examples/learn_rules.py --trials 40`."""


@dataclass(frozen=True)
class Contestant:
    """An optimizer and the settings that it is tuned over.

    Attributes:
        make: Callable that returns the optimizer.
        learning_rates: What is tried; one alone is not tuned.
        schedules: What is tried.
        is_planned: Whether it is told how many steps there will be.
    """

    make: Callable[[], keras.Optimizer]
    learning_rates: tuple[float, ...] = (1.0,)
    schedules: tuple[str, ...] = ("constant",)
    is_planned: bool = False


def tuned(make, middle: float, schedules=SCHEDULES) -> Contestant:
    """A contestant with nine learning rates around a middle one."""
    return Contestant(make, tuple(middle * factor for factor in GRID), schedules)


BASELINES = {
    "sgd": tuned(lambda: keras.optimizers.SGD(momentum=0.9), 0.03),
    "adam": tuned(keras.optimizers.Adam, 0.003),
    "adamw": tuned(lambda: keras.optimizers.AdamW(weight_decay=0.01), 0.003),
}
"""What is to be beaten: the best of them, of all learning rates and schedules."""

OURS = {
    "fuzzyhess": Contestant(FuzzyHess),
    "fuzzyhess/4": Contestant(FuzzyHess, (0.25,)),
    "fuzzyhess*4": Contestant(FuzzyHess, (4.0,)),
}
"""FuzzyHess as it is, and with its learning rate divided and multiplied by four."""

PEERS = {
    "lion": tuned(keras.optimizers.Lion, 0.0003, ("constant",)),
    "muon": tuned(keras.optimizers.Muon, 0.003, ("constant",)),
    "muon, cosine": tuned(keras.optimizers.Muon, 0.003, ("cosine",)),
    "schedulefree": tuned(keras.optimizers.ScheduleFreeAdamW, 0.003, ("constant",)),
    "adahessian": tuned(AdaHessian, 0.03, ("constant",)),
    "sophia": tuned(Sophia, 0.001, ("constant",)),
    "soap": tuned(lambda: SOAP(weight_decay=0.01), 0.003, SCHEDULES[:2]),
    "salo": tuned(SALO, 0.3, ("constant",)),
}
"""Optimizers that are tuned and shown, but are no part of the target."""

PLANNED = {"fuzzyhess, planned": Contestant(FuzzyHess, is_planned=True)}
"""FuzzyHess with `total_steps`."""

LEARNED = {"learned rules": Contestant(lambda: FuzzyHess(rule_base=LEARNED_RULES))}
"""FuzzyHess with rules that were learned on small data, by what is held back."""

LONG_BASELINES = {
    "adamw, cosine": Contestant(
        BASELINES["adamw"].make, BASELINES["adamw"].learning_rates[2:7], ("cosine",)
    )
}
"""What is to be beaten in long trainings: the middle five of its learning rates, for
each takes as long as ten trainings of the others."""
