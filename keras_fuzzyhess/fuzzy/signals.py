"""The inputs and outputs that a rule base for FuzzyHess may have, with their limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_fuzzyhess.fuzzy.checks import abbreviated

Law = Literal["rate", "direct"]
"""What the optimizer does with the gain output: see `law_of`."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One documented input or output.

    Attributes:
        low: Smallest value.
        high: Largest value.
        open_low: Whether a value must be greater than `low`. A range may begin at
            `low` all the same, for a centroid never reaches the ends of its range.
        open_high: Whether both values and ranges must stay below `high`.
        narrowest: Least width of a range. Inputs arrive in float32, so a range must
            be wide enough to hold many different ones.
        meaning: One line for error messages and documentation.
    """

    low: float
    high: float
    open_low: bool
    open_high: bool
    narrowest: float
    meaning: str

    @property
    def interval(self) -> str:
        """The limits in mathematical notation, such as `[0, 1)`."""
        left, right = "(["[not self.open_low], ")]"[not self.open_high]
        return f"{left}{self.low:g}, {self.high:g}{right}"

    def check_range(self, low: float, high: float, what: str) -> None:
        """Raises ValueError unless [low, high] is a range this signal can have."""
        outside = low < self.low or high > self.high
        # In float32, the optimizer's precision, 0.99999999 is 1.
        if outside or (self.open_high and np.float32(high) >= self.high):
            raise ValueError(
                f"The range of {what} must lie within [{self.interval[1:]} "
                f"({self.meaning}). Received: low={low}, high={high}"
            )
        if high - low < self.narrowest:
            raise ValueError(
                f"The range of {what} must be at least {self.narrowest:g} wide. "
                f"Received: low={low}, high={high}"
            )

    def check_values(self, values: np.ndarray, what: str) -> None:
        """Raises ValueError unless all of `values` are values of this signal."""
        low_ok = values > self.low if self.open_low else values >= self.low
        high_ok = values < self.high if self.open_high else values <= self.high
        fine = low_ok & high_ok
        if not np.all(fine):
            raise ValueError(
                f"{what} must be finite and lie within {self.interval} "
                f"({self.meaning}). Received: {abbreviated(float(values[~fine][0]))}"
            )


SIGNALS: dict[str, Signal] = {
    # low, high, open_low, open_high, narrowest, meaning
    "loss_trend": Signal(-1.0, 1.0, False, False, 0.02, "positive when the loss falls"),
    "progress": Signal(0.0, 1.0, False, False, 0.01, "share of the training done"),
    "loss_fall": Signal(-1.0, 1.0, False, False, 0.02, "share of the promised fall"),
    "gain_rate": Signal(-1.0, 1.0, False, False, 1e-4, "relative change per step"),
    "gain": Signal(0.0, 10.0, True, False, 1e-3, "factor of the learning rate"),
    "beta_3": Signal(0.0, 1.0, False, True, 1e-4, "second-derivative momentum"),
}
"""All documented signals by name. `loss_trend` and `progress` are the inputs of
arXiv 2403.15416 ("behaviour of the loss", "current training step") in the scaling that
we chose; `gain` and `beta_3` are its outputs; `loss_fall` and `gain_rate` are ours. The
limits are our choice. Those of `gain` bound the step; under the rate law the gain
itself is bounded, see `law_of`."""

NEEDED_INPUTS = ("loss_trend", "progress")
"""Inputs of every rule base, in this order."""

INPUTS = (*NEEDED_INPUTS, "loss_fall")
"""Inputs that a rule base may have, in this order."""

LAWS: dict[str, Law] = {"gain_rate": "rate", "gain": "direct"}
"""The law that each of the two possible gain outputs stands for."""


def check_inputs(inputs: Iterable[str], what: str) -> None:
    """Raises ValueError unless these are inputs that a rule base may have, each once.

    Example:

    >>> check_inputs(["progress", "loss_trend"], "A rule base")
    """
    names = list(inputs)
    if sorted(names) not in (sorted(NEEDED_INPUTS), sorted(INPUTS)):
        raise ValueError(
            f"{what} must have the inputs 'loss_trend' and 'progress', and may have "
            f"'loss_fall', each once, and no other. Received: {abbreviated(names)}"
        )


def law_of(outputs: Iterable[str], what: str) -> Law:
    """The law that a set of outputs stands for.

    "rate": `c <- clip(c exp(gain_rate / (1 + step / 100)), 0.001, 1000)` at every
    step. "direct": `c = gain`, as in arXiv 2403.15416.

    Raises:
        ValueError: Unless the outputs are `beta_3` and one of `gain_rate`, `gain`.
    """
    names = list(outputs)
    for gain, law in LAWS.items():
        if sorted(names) == ["beta_3", gain]:
            return law
    raise ValueError(
        f"{what} must have the outputs 'beta_3' and one of 'gain_rate' (rate law) or "
        f"'gain' (direct law), each once, and no other. "
        f"Received: {abbreviated(names)}"
    )
