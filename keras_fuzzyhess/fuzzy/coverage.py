"""Does some rule fire in every situation?

If no rule fires, a Mamdani system has no answer: its aggregated set is empty and has no
centroid. Whether a membership is positive changes only where membership functions bend;
it is therefore enough to look at all these values and between all neighbouring ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_fuzzyhess.fuzzy.membership import memberships, with_middles
from keras_fuzzyhess.fuzzy.variable import Variable


class Situations(NamedTuple):
    """Values [N] of an input at which every pattern of positive memberships occurs.

    `strengths` [T, N] are their memberships in the input's T terms.
    """

    input: str
    terms: tuple[str, ...]
    values: np.ndarray
    strengths: np.ndarray


def situations(variable: Variable) -> Situations:
    """The situations of an input of a rule base."""
    values = with_middles(np.array(variable.breakpoints))
    strengths = memberships(variable, values)
    return Situations(variable.name, variable.term_names, values, strengths)


def check_covered(of_input: Situations) -> None:
    """Raises ValueError if some value of an input belongs to none of its terms."""
    covered = (of_input.strengths > 0).any(axis=0)
    if not covered.all():
        raise ValueError(
            f"Every value of variable '{of_input.input}' must have positive membership "
            f"in one of its terms. Let neighbouring terms overlap. Received: terms "
            f"{', '.join(of_input.terms)}, none of which holds at "
            f"{of_input.values[~covered][0]:g}"
        )


def check_fires(
    fired: np.ndarray, of_inputs: Sequence[Situations], demand: str
) -> None:
    """Raises ValueError if nothing fires in some situation, and names its cell.

    Args:
        fired: How strongly some rule fires, with one axis for each input.
        of_inputs: The situations of each input.
        demand: The beginning of the message: what must have which rule.
    """
    gaps = np.argwhere(~(fired > 0))
    if len(gaps):
        first = list(zip(of_inputs, gaps[0], strict=True))
        cell = ", ".join(
            f"{one.input}={one.terms[np.argmax(one.strengths[:, i])]}"
            for one, i in first
        )
        place = ", ".join(f"{one.input}={one.values[i]:g}" for one, i in first)
        raise ValueError(
            f"{demand} every combination of terms. Add a rule for {cell}. "
            f"Received: no rule that fires at {place}"
        )
