"""Is there a rule for every situation?

If no rule fires, a Mamdani system has no answer: its aggregated set is empty and has no
centroid. So a rule base must leave no point of the input square without a firing rule.
Whether a membership is positive changes only at corners of terms; it is therefore
enough to look at all corners and between all neighbouring ones.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_fuzzyhess.fuzzy.variable import Variable

NARROWEST_EDGE = 1e-4
"""Least width of an input term's edge, as a share of the range. Our choice: a hundred
times the resolution of the float32 numbers in which the inputs arrive."""


def check_edges(variable: Variable) -> None:
    """Raises ValueError if the membership of an input term jumps inside the range.

    A jump would be a jump of the control surface, which an interpolated table cannot
    follow. At the ends of the range a vertical edge is harmless.

    Args:
        variable: An input.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> check_edges(default_rule_base().inputs[0])
    """
    width = NARROWEST_EDGE * (variable.high - variable.low)
    for term in variable.terms:
        a, b, c, d = term.corners(variable.low, variable.high)
        rises = b - a >= width or a == b == variable.low
        falls = d - c >= width or c == d == variable.high
        if not rises or not falls:
            raise ValueError(
                f"Each edge of input term '{term.name}' of variable '{variable.name}' "
                f"must be at least {width:g} wide, or vertical at the end of the "
                f"range: inside it, the control surface would jump. Move the points "
                f"of the edge apart. Received: {term.points}"
            )


def check_covered(variable: Variable) -> None:
    """Raises ValueError if some value of an input belongs to none of its terms.

    Args:
        variable: An input.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> check_covered(default_rule_base().inputs[0])
    """
    points = situations(variable)
    covered = positive(variable, points).any(axis=0)
    if not covered.all():
        gap = float(points[~covered][0])
        raise ValueError(
            f"Every value of variable '{variable.name}' must have positive membership "
            f"in one of its terms. Let neighbouring terms overlap. Received: terms "
            f"{', '.join(variable.term_names)}, none of which holds at {gap:g}"
        )


def situations(variable: Variable) -> np.ndarray:
    """Values of an input at which every pattern of positive memberships occurs.

    Args:
        variable: An input.

    Returns:
        float64 array: its breakpoints and a point between any two neighbours.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> situations(default_rule_base().inputs[0])
    array([-1. , -0.7, -0.4, -0.2,  0. ,  0.5,  1. ])
    """
    knots = np.array(variable.breakpoints)
    return np.union1d(knots, knots[:-1] / 2 + knots[1:] / 2)


def positive(variable: Variable, points: np.ndarray) -> np.ndarray:
    """Whether each term has positive membership at each point.

    Args:
        variable: An input with T terms.
        points: float64 array [N].

    Returns:
        bool array [T, N].

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> loss_trend = default_rule_base().inputs[0]
    >>> positive(loss_trend, np.array([-0.7, 0.5])).T  # rising, flat, falling
    array([[ True,  True, False],
           [False, False,  True]])
    """
    corners = [term.corners(variable.low, variable.high) for term in variable.terms]
    return np.stack(
        [((a < points) & (points < d)) | ((b <= points) & (points <= c))
         for a, b, c, d in corners]
    )  # fmt: skip


def first_gap(
    inputs: Sequence[Variable],
    fires: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[float, float] | None:
    """The first point of the input square where nothing fires.

    Args:
        inputs: The two inputs, with T and U terms.
        fires: Takes two bool arrays, whether each term of each input is positive
            ([T, N, 1] and [U, 1, M]), and returns whether some rule fires [N, M].

    Returns:
        The values of the two inputs there, or None if there is no such point.

    Example:

    >>> from keras_fuzzyhess.fuzzy import default_rule_base
    >>> def only_rising(trend, progress):
    ...     return trend[0] & progress.any(axis=0)
    >>> first_gap(default_rule_base().inputs, only_rising)
    (-0.4, 0.0)
    """
    x, y = (situations(variable) for variable in inputs)
    fired = fires(
        positive(inputs[0], x)[:, :, np.newaxis],
        positive(inputs[1], y)[:, np.newaxis, :],
    )
    gaps = np.argwhere(~fired)
    return None if len(gaps) == 0 else (float(x[gaps[0, 0]]), float(y[gaps[0, 1]]))
