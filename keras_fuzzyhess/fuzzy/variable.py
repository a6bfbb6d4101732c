"""Linguistic variables and their terms: the words a rule is made of."""

from dataclasses import dataclass
from itertools import pairwise

from keras_fuzzyhess.fuzzy import checks

SHAPES = {"triangle": 3, "trapezoid": 4, "left_shoulder": 2, "right_shoulder": 2}
"""Shapes of membership functions and the number of points of each."""

MOST_TERMS = 9
"""Terms of a variable, at most. Rule bases in use have 3 to 7, and the exact centroid
looks at every set of terms that overlap, whose number grows exponentially."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word such as "falling", with its membership function.

    All shapes are trapezoids with corners `a <= b <= c <= d`: the membership is 0 up
    to `a`, rises linearly to 1 at `b`, stays 1 to `c`, falls linearly to 0 at `d`.

    | shape | points | corners |
    |---|---|---|
    | `"triangle"` | `(a, b, c)` | `a, b, b, c` |
    | `"trapezoid"` | `(a, b, c, d)` | `a, b, c, d` |
    | `"left_shoulder"` | `(a, b)` | 1 from the low end of the range to `a`, 0 at `b` |
    | `"right_shoulder"` | `(a, b)` | 0 at `a`, 1 from `b` to the high end |

    Args:
        name: Its name, unique in its variable.
        shape: One of the shapes above.
        points: The points of the shape, ascending, in the unit of the variable.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the shape is unknown, the number of points is wrong, a point is
            not finite or the points are not in order.

    Example:

    >>> Term("flat", "triangle", (-0.5, 0, 0.5)).points
    (-0.5, 0.0, 0.5)
    """

    name: str
    shape: str
    points: tuple[float, ...]

    def __post_init__(self) -> None:
        checks.name_of(self.name, "The name of a term")
        what = f"term '{self.name}'"
        if not isinstance(self.shape, str) or self.shape not in SHAPES:
            raise ValueError(
                f"The shape of {what} must be one of {', '.join(SHAPES)}. "
                f"Received: {checks.abbreviated(self.shape)}"
            )
        points = tuple(
            checks.real_number(point, f"Each of the points of {what}")
            for point in checks.sequence(
                self.points, f"The points of {what}", "numbers"
            )
        )
        if len(points) != SHAPES[self.shape]:
            raise ValueError(
                f"The points of {what} must be {SHAPES[self.shape]} numbers, for it "
                f"is a {self.shape}. Received: {checks.abbreviated(self.points)}"
            )
        if any(left > right for left, right in pairwise(points)):
            raise ValueError(
                f"The points of {what} must be in ascending order. Sort them. "
                f"Received: {points}"
            )
        object.__setattr__(self, "points", points)

    def corners(self, low: float, high: float) -> tuple[float, float, float, float]:
        """The corners `(a, b, c, d)` of the term as a trapezoid.

        Args:
            low: Low end of the variable's range, where a left shoulder begins.
            high: High end, where a right shoulder ends.

        Returns:
            Four ascending numbers in the unit of the variable.

        Example:

        >>> Term("late", "right_shoulder", (0.5, 0.9)).corners(0.0, 1.0)
        (0.5, 0.9, 1.0, 1.0)
        """
        p = self.points
        match self.shape:
            case "triangle":
                return p[0], p[1], p[1], p[2]
            case "trapezoid":
                return p[0], p[1], p[2], p[3]
            case "left_shoulder":
                return low, low, p[0], p[1]
            case _:
                return p[0], p[1], high, high


@dataclass(frozen=True, slots=True)
class Variable:
    """A linguistic variable: a range of numbers and the terms on it.

    Args:
        name: One of the documented inputs or outputs, see `RuleBase`.
        low: Low end of its range. Values below are taken as `low`.
        high: High end of its range. Values above are taken as `high`.
        terms: 1 to 9 terms with different names, all points inside the range.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the range is empty or not finite, or a term does not fit.

    Example:

    >>> progress = Variable(
    ...     "progress",
    ...     0.0,
    ...     1.0,
    ...     (
    ...         Term("early", "left_shoulder", (0.2, 0.8)),
    ...         Term("late", "right_shoulder", (0.2, 0.8)),
    ...     ),
    ... )
    >>> progress.corners("late")
    (0.2, 0.8, 1.0, 1.0)
    """

    name: str
    low: float
    high: float
    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        checks.name_of(self.name, "The name of a variable")
        what = f"variable '{self.name}'"
        low = checks.real_number(self.low, f"`low` of {what}")
        high = checks.real_number(self.high, f"`high` of {what}")
        if not low < high:
            raise ValueError(
                f"`low` of {what} must be less than `high`. "
                f"Received: low={low}, high={high}"
            )
        terms = checks.tuple_of(Term, self.terms, f"`terms` of {what}", MOST_TERMS)
        checks.refuse_twins((term.name for term in terms), f"The terms of {what}")
        for term in terms:
            if term.points[0] < low or term.points[-1] > high:
                raise ValueError(
                    f"The points of term '{term.name}' of {what} must lie inside its "
                    f"range [{low}, {high}]. Move them or widen the range. "
                    f"Received: {term.points}"
                )
        for part, value in (("low", low), ("high", high), ("terms", terms)):
            object.__setattr__(self, part, value)

    def corners(self, term: str) -> tuple[float, float, float, float]:
        """The corners `(a, b, c, d)` of one of its terms, see `Term.corners`.

        Args:
            term: Name of the term.

        Raises:
            ValueError: If it has no such term.
        """
        if term not in self.term_names:
            raise ValueError(
                f"Variable '{self.name}' must have the term that is asked for; it has "
                f"{', '.join(self.term_names)}. Received: {checks.abbreviated(term)}"
            )
        return self.terms[self.term_names.index(term)].corners(self.low, self.high)

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of its terms, in their order."""
        return tuple(term.name for term in self.terms)

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """All corners of its terms and the ends of its range, ascending, each once.

        Example:

        >>> late = Term("late", "right_shoulder", (0.2, 0.8))
        >>> Variable("progress", 0.0, 1.0, (late,)).breakpoints
        (0.0, 0.2, 0.8, 1.0)
        """
        corners = [term.corners(self.low, self.high) for term in self.terms]
        return tuple(sorted({self.low, self.high}.union(*corners)))
