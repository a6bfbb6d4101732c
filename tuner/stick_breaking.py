"""Ordered points as independent fractions, so that any tuner can search them.

A tuner draws each hyperparameter by itself and knows nothing of an order between
them. Here a stick from 0 to 1 is broken n times, each time from what the last break has
left. The fraction `u_i` says where the i-th break falls among the places it can take:

    y_i = y_{i-1} + (1 - y_{i-1}) (1 - (1 - u_i)**(1 / (n - i + 1))) ,   y_0 = 0

Independent uniform `u_i` make the `y_i` uniformly distributed over all ordered points
(`u_i` is the distribution function of the smallest of the n - i + 1 points that are
left), and each set of ordered points has one set of fractions: nothing is redundant.
"""

from collections.abc import Sequence


def ordered_points(fractions: Sequence[float]) -> list[float]:
    """Breaks the stick.

    Args:
        fractions: n numbers `u_i` in [0, 1].

    Returns:
        n numbers `y_i` in [0, 1], ascending.

    Example:

    >>> ordered_points([0.75, 0.5])
    [0.5, 0.75]
    """
    points = []
    last = 0.0
    for i, fraction in enumerate(fractions):
        left = len(fractions) - i
        last += (1 - last) * (1 - (1 - fraction) ** (1 / left))
        points.append(last)
    return points


def fractions_of(points: Sequence[float]) -> list[float]:
    """The fractions that break the stick at given points: inverse of the above.

    Args:
        points: n numbers `y_i` in [0, 1], ascending.

    Returns:
        n numbers `u_i` in [0, 1]; 0 for points after one that lies at 1, where nothing
        is left to break.

    Example:

    >>> fractions_of([0.5, 0.75])
    [0.75, 0.5]
    """
    fractions = []
    last = 0.0
    for i, point in enumerate(points):
        left = len(points) - i
        share = (point - last) / (1 - last) if last < 1 else 0.0
        fractions.append(1 - (1 - share) ** left)
        last = point
    return fractions
