"""The two rule bases that come with the optimizer.

arXiv 2403.15416 names the inputs (behaviour of the loss, training step) and the outputs
(learning rate, second-derivative momentum) of its fuzzy system, but does not publish
its membership functions or rules. Every number here is our choice.
"""

from keras_fuzzyhess.fuzzy.rule import Rule
from keras_fuzzyhess.fuzzy.rule_base import RuleBase
from keras_fuzzyhess.fuzzy.variable import Term, Variable

Points = tuple[float, ...]

RISING, FLAT, FALLING = -1.0, -0.4, 0.0
"""Where the terms of `loss_trend` hold fully, by default. The trend is measured from
the averaged weights, around which weights that make good use of noisy gradients swing:
their loss is higher by 0.4 of the unit that `measure/averaged_loss.py` tells."""

STALLED, KEPT = 0.25, 0.5
"""Shares of the promised fall of the loss: at the first or less the promise is broken,
at the second or more it is kept."""

CLEAR_TREND = 1.0
"""Loss trend from which a loss is plainly falling, or below minus this rising, for the
rule base in the paper's form, whose trend is that of the minibatches' losses."""

EARLY_END, MIDDLE, LATE_START = 0.1, 0.5, 0.9
"""Progress up to which training is fully early, is in the middle, is fully late."""

GAIN_RATES = {"cut": -0.085, "hold": 0.0, "raise": 0.025}
"""Peaks of the sets of `gain_rate`: relative change of the gain per step at the start,
see `keras_fuzzyhess.control.controller`."""

GAINS = {"tiny": 0.1, "small": 0.3, "half": 0.5, "full": 1.0}
"""Peaks of the sets of `gain`: factor of the learning rate."""

BETAS = {"short": 0.8, "medium": 0.9, "long": 0.95}
"""Peaks of the sets of `beta_3`: a memory of about 5, 10 and 20 curvature samples, at
first 50, 100 and 200 steps."""

PAPER_BETAS = {"short": 0.9, "medium": 0.95, "long": 0.99}
"""The same for the rule base in the paper's form, with a sample in every step."""

GAIN_RATE_SPREAD, GAIN_SPREAD, BETA_SPREAD = 0.01, 0.1, 0.009
"""Half the width of each output's triangles. All triangles of an output are equally
wide, so that none outweighs another when both are cut at the same level."""

DEFAULT_RULES = (
    # loss_trend, progress, gain_rate, beta_3, why
    ("rising", "early", "cut", "short",
     "The weights swing widely: the steps are too long, and old curvature misleads."),
    ("rising", "middle", "cut", "short",
     "The weights swing widely: the steps are too long, and old curvature misleads."),
    ("rising", "late", "cut", "medium",
     "The weights swing widely: shorten the steps; late curvature hardly changes."),
    ("flat", "early", "hold", "short",
     "The average makes up for the swings: keep the steps, follow the curvature."),
    ("flat", "middle", "hold", "medium",
     "The average makes up for the swings: keep the steps."),
    ("flat", "late", "hold", "long",
     "The average makes up for the swings: keep the steps, average the curvature."),
    ("falling, kept", "early", "raise", "short",
     "The weights are ahead of their average: take longer steps."),
    ("falling, kept", "middle", "raise", "long",
     "The weights are ahead of their average: take longer steps, trust the curvature."),
    ("falling, kept", "late", "raise", "long",
     "The weights are ahead of their average even now: take longer steps."),
    ("falling, stalled", "early", "hold", "short",
     "The weights are ahead, but the loss does not fall: longer steps would not help."),
    ("falling, stalled", "middle", "hold", "long",
     "The weights are ahead, but the loss does not fall: longer steps would not help."),
    ("falling, stalled", "late", "hold", "long",
     "The weights are ahead, but the loss does not fall: longer steps would not help."),
)  # fmt: skip
"""The rules of the default rule base. What follows a comma is a term of `loss_fall`."""

PAPER_RULES = (
    # loss_trend, progress, gain, beta_3, why
    ("rising", "early", "small", "short",
     "The loss rises: the learning rate is too high and old curvature misleads."),
    ("rising", "middle", "tiny", "short",
     "The loss rises after a good start: the learning rate is far too high."),
    ("rising", "late", "tiny", "medium",
     "The loss rises near the end: go no further than noise allows."),
    ("flat", "early", "half", "short",
     "A plateau this early: keep moving, and follow the curvature."),
    ("flat", "middle", "small", "medium",
     "Progress flattens: noise begins to weigh, so lower the learning rate."),
    ("flat", "late", "tiny", "long",
     "Only noise is left: settle, and average the curvature over it."),
    ("falling", "early", "full", "short",
     "The loss falls and there is a long way to go: use the full learning rate."),
    ("falling", "middle", "half", "long",
     "The loss falls: go on, with the curvature averaged for longer."),
    ("falling", "late", "small", "long",
     "The loss still falls: go on, with care this late."),
)  # fmt: skip
"""The rules of the rule base in the paper's form."""


def default_rule_base() -> RuleBase:
    """The rule base that FuzzyHess uses by default: 12 rules, rate law.

    Three terms of `loss_trend` (rising, flat, falling) by three of `progress` (early,
    middle, late), and by two of `loss_fall` (stalled, kept) where the trend is falling.
    The gain grows while the weights are ahead of their average, is held while they
    swing around it moderately or the loss does not fall as their lead promises, and
    shrinks when they swing widely. The memory of the curvature grows with progress, and
    is short while the loss rises.

    Ranges: `gain_rate` in [-0.1, 0.1] with peaks from -0.085 to 0.025, `beta_3` in
    [0, 0.9995] with peaks from 0.8 to 0.95. The centroid reaches the peaks, for
    they belong to symmetric triangles inside the range. All numbers are our choice.

    Example:

    >>> rule_base = default_rule_base()
    >>> rule_base.law, len(rule_base.rules)
    ('rate', 12)
    >>> print(rule_base.rules[0])
    if loss_trend=rising, progress=early then beta_3=short, gain_rate=cut
    """
    gain_rate = _peaks("gain_rate", -0.1, 0.1, GAIN_RATES, GAIN_RATE_SPREAD)
    inputs = (
        *_trend_and_progress((RISING, FLAT, FALLING)),
        Variable("loss_fall", -1, 1, _two("stalled", "kept", (STALLED, KEPT))),
    )
    return _rule_base("default", inputs, gain_rate, BETAS, DEFAULT_RULES)


def paper_rule_base() -> RuleBase:
    """A rule base in the form of arXiv 2403.15416: 9 rules, direct law.

    The outputs are the factor of the learning rate and the second-derivative momentum,
    as in the paper. **The paper publishes neither membership functions nor rules**:
    the form is the paper's, every number and every rule here is our choice.

    The gain is high while the loss falls early, and low when it rises or late. Ranges:
    `gain` in [0, 2] with peaks from 0.1 to 1, `beta_3` in [0, 0.9995] with peaks from
    0.9 to 0.99.

    Example:

    >>> paper_rule_base().law
    'direct'
    """
    gain = _peaks("gain", 0.0, 2.0, GAINS, GAIN_SPREAD)
    inputs = _trend_and_progress((-CLEAR_TREND, 0.0, CLEAR_TREND))
    return _rule_base("paper", inputs, gain, PAPER_BETAS, PAPER_RULES)


def _trend_and_progress(trend: Points) -> tuple[Variable, Variable]:
    trends = _three("rising", "flat", "falling", trend)
    stages = _three("early", "middle", "late", (EARLY_END, MIDDLE, LATE_START))
    return Variable("loss_trend", -1, 1, trends), Variable("progress", 0, 1, stages)


def _rule_base(
    name: str,
    inputs: tuple[Variable, ...],
    gain: Variable,
    betas: dict[str, float],
    rules: tuple[tuple[str, ...], ...],
) -> RuleBase:
    return RuleBase(
        name,
        inputs,
        (gain, _peaks("beta_3", 0.0, 0.9995, betas, BETA_SPREAD)),
        tuple(
            Rule(
                _antecedent(trend_and_fall, stage),
                {gain.name: gain_term, "beta_3": memory},
                why=why,
            )
            for trend_and_fall, stage, gain_term, memory, why in rules
        ),
    )


def _antecedent(trend_and_fall: str, stage: str) -> dict[str, str]:
    trend, _, fall = trend_and_fall.partition(", ")
    antecedent = {"loss_trend": trend, "progress": stage}
    return antecedent | {"loss_fall": fall} if fall else antecedent


def _two(low: str, high: str, full: Points) -> tuple[Term, ...]:
    """The terms of an input, by the points up to and from which they hold fully."""
    return Term(low, "left_shoulder", full), Term(high, "right_shoulder", full)


def _three(low: str, middle: str, high: str, full: Points) -> tuple[Term, ...]:
    """The terms of an input, by the points from or at which they hold fully."""
    return (
        Term(low, "left_shoulder", full[:2]),
        Term(middle, "triangle", full),
        Term(high, "right_shoulder", full[1:]),
    )


def _peaks(
    name: str, low: float, high: float, peaks: dict[str, float], spread: float
) -> Variable:
    """An output whose terms are symmetric triangles around their peaks."""
    terms = [
        Term(term, "triangle", (peak - spread, peak, peak + spread))
        for term, peak in peaks.items()
    ]
    return Variable(name, low, high, tuple(terms))
