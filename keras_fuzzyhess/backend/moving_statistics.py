"""Moving statistics of BatchNorm, shown without what is left in them of the past.

After `t` steps they keep the share `momentum**t` of what they were: of zeros and ones
at the start, 2/3 after forty steps with Keras's momentum, later on of what other
weights have had. Weights that move fast are then validated with statistics of others.
Adam corrects its averages for such a start; so it is here, for a start that moves on.
"""

import collections
import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from keras_fuzzyhess.backend.own_optimizers import optimizers_of
from keras_fuzzyhess.backend.saved_state import checksum

PREFIX = "moving"
"""Of the names under which they are saved: `moving:4:seen`, `moving:4:mean`."""

ENOUGH = 20
"""So many minibatches are enough for statistics of their own, or this share of what a
momentum remembers. Our choice."""

ENOUGH_OF_MEMORY = 0.2
"""Of `1 / (1 - momentum)` minibatches: who sets a longer one has small minibatches."""

Statistics = tuple[np.ndarray, np.ndarray]
"""Mean and variance; in a `_Mark` what Keras averages, with renormalization the
standard deviation in the place of the variance."""

SMALLEST = 1e-30
"""Variances below this may have become zeros by rounding, which tells nothing."""

START: Statistics = np.zeros(()), np.ones(())
"""What Keras's initializers make them."""


class _Mark(NamedTuple):
    """What statistics were after so many minibatches."""

    step: int
    mean: np.ndarray
    spread: np.ndarray

    @property
    def is_start(self) -> bool:
        return not self.mean.any() and bool((self.spread == 1).all())

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.spread).all())


@dataclass
class _Layer:
    """A layer, what its statistics have been, and whether others are shown.

    Attributes:
        number: Place of its moving mean among the model's variables.
        layer: BatchNorm.
        calls: How often a step calls it; 0 where that is not known.
        marks: One or two: the last, and the one before it.
        seen: CRC-32 of its statistics when they were noted, put in or out last.
        seen_at: Minibatches that the model had been trained on then.
        kept: Mean and variance themselves, while others are in their place.
        was_set: Whether others had set them when they were to be put back.
    """

    number: int
    layer: keras.layers.BatchNormalization
    calls: int
    marks: list[_Mark]
    seen: int
    seen_at: int
    kept: Statistics | None = None
    was_set: bool = False

    @property
    def is_as_seen(self) -> bool:
        return _crc(self.layer) == self.seen

    @property
    def is_out(self) -> bool:
        return self.kept is not None and self.is_as_seen

    def known(self, now: int) -> list[_Mark]:
        """The marks that still hold: none where others have set the statistics.

        After an interrupt in an epoch they have moved, which looks the same; then only
        their start is kept, without which they cannot be shown at all.
        """
        if now < self.seen_at:  # the count was set back
            return []
        if self.is_as_seen:
            return self.marks
        if self.was_set or now == self.seen_at:
            return []
        return [mark for mark in self.marks if mark.is_start]

    def since(self, now: int) -> Statistics | None:
        """What is to be shown; None if that is what there is."""
        mark = self._mark_before(now)
        if mark is None:
            return None
        return _since(mark, self.layer, (now - mark.step) * max(1, self.calls))

    def _mark_before(self, now: int) -> _Mark | None:
        """What they were before minibatches enough, or at their start.

        The first only where a step is known to move them as often as is counted: else
        what is shown would go too far, again and again.
        """
        enough = _enough(self.layer)
        old = [mark for mark in self.marks if now - mark.step >= enough]
        if old and self.calls:
            return old[-1]
        started = [m for m in self.marks if m.is_start and now > m.step]
        return started[0] if started else None


class MovingStatistics:
    """Puts corrected statistics in the place of a model's, and these back to the bit.

    Steps are counted by what the model's optimizers count: each minibatch of an
    accumulated gradient, and the steps of several optimizers together. If these are
    more than the moves, statistics are corrected by less. A layer that is called
    several times in a step moves more often, as a functional model tells. Elsewhere a
    variance below the share of the start may show it: then the smallest power of the
    share is taken that it can have.

    At every `note` they are marked, if the last mark is old enough: `ENOUGH`
    minibatches, or `ENOUGH_OF_MEMORY` of what the momentum remembers. What is shown is
    the weighted mean of what they have seen since the last mark that is old enough, or
    since they started as zeros and ones. Where no functional model tells how often they
    move, only such a start is corrected. Statistics that have not moved are not
    touched. All is saved with the state of an optimizer of this package.

    Example:

    >>> norm = keras.layers.BatchNormalization()
    >>> model = keras.Sequential([keras.Input((1,)), norm])
    >>> model.compile("sgd", "mse")
    >>> statistics = MovingStatistics()
    >>> statistics.note(model)
    >>> x = keras.ops.array([[1.0], [3.0]])
    >>> loss = model.train_on_batch(x, x)
    >>> round(float(norm.moving_mean[0]), 3)  # of 2
    0.02
    >>> statistics.put_in(model)
    True
    >>> round(float(norm.moving_mean[0]), 3)
    2.0
    >>> statistics.put_back()
    >>> round(float(norm.moving_mean[0]), 3)
    0.02
    """

    def __init__(self) -> None:
        self._layers: dict[int, _Layer] = {}  # by `id`
        self._loaded: dict[str, np.ndarray] = {}
        self._noted_at = 0
        self._noted: set[int] | None = (
            None  # layers, by id; None if none were looked at
        )

    @property
    def are_in(self) -> bool:
        """Whether corrected statistics are in the model, now."""
        return any(each.is_out for each in self._layers.values())

    @property
    def are_noted(self) -> bool:
        """Whether someone has marked them since they were forgotten last."""
        return self._noted is not None

    def note(self, model: keras.Model) -> None:
        """Marks what statistics are now, between two minibatches.

        Puts them back, those of a file that has been loaded among them. Of layers whose
        statistics are not as they were seen last it forgets what they have been.
        """
        self.put_back()
        layers, now = _batch_norms(model), _minibatches(model)
        marks = {key: each.known(now) for key, each in self._layers.items()}
        marks |= self._take_loaded(layers)
        self._layers = {
            id(layer): _Layer(
                number,
                layer,
                calls,
                _marked(marks.get(id(layer), []), layer, calls, now),
                _crc(layer),
                now,
            )
            for number, (layer, calls) in layers.items()
        }
        self._noted_at, self._noted = now, {id(layer) for layer, _ in layers.values()}

    def put_in(self, model: keras.Model) -> bool:
        """Puts corrected statistics in, and keeps the statistics themselves.

        Returns:
            Whether there were any to put in.
        """
        if self.are_in:
            return False
        self._find_made(model)
        now = _minibatches(model)
        for each in self._layers.values():
            each.seen, each.seen_at, each.kept = _crc(each.layer), now, None
            shown = each.since(now)
            if shown is not None and all(np.isfinite(values).all() for values in shown):
                each.kept = _statistics(each.layer)
                _assign(each.layer, shown)
                each.seen = _crc(each.layer)
        return self.are_in

    def put_back(self) -> None:
        """Undoes `put_in`, but for statistics that have been set since."""
        for each in self._layers.values():
            each.was_set |= each.kept is not None and not each.is_as_seen
            if each.kept is not None and each.is_as_seen:
                _assign(each.layer, each.kept)
                each.seen = _crc(each.layer)
            each.kept = None

    def forget(self) -> None:
        """What is in the model stays, and is a new start."""
        self._layers, self._loaded, self._noted = {}, {}, None

    def saved(self) -> dict[str, np.ndarray]:
        """What is to be saved, by name."""
        values = dict(self._loaded)
        for each in self._layers.values():
            if each.kept is not None and not each.is_out:
                continue  # set by others
            name = f"{PREFIX}:{each.number}"
            values[f"{name}:seen"] = np.array(_crc(each.layer), np.uint32)
            if each.kept is not None:
                values[f"{name}:mean"], values[f"{name}:variance"] = each.kept
            for i, mark in enumerate(each.marks):
                for field, value in mark._asdict().items():
                    values[f"{name}:{i}:{field}"] = np.array(value)
        return values

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Takes back what `saved` has returned, for the next `note`."""
        self.forget()
        self._loaded = dict(values)

    def _take_loaded(
        self, layers: Mapping[int, tuple[keras.layers.BatchNormalization, int]]
    ) -> dict[int, list[_Mark]]:
        """Marks of layers whose statistics are those beside which it was saved."""
        values, self._loaded = self._loaded, {}
        marks = {}
        for number, (layer, _) in layers.items():
            name = f"{PREFIX}:{number}"
            if values.get(f"{name}:seen") == _crc(layer):
                marks[id(layer)] = [
                    _Mark(
                        int(values[f"{name}:{i}:step"]),
                        values[f"{name}:{i}:mean"],
                        values[f"{name}:{i}:spread"],
                    )
                    for i in range(2)
                    if f"{name}:{i}:step" in values
                ]
                if f"{name}:mean" in values:
                    _assign(layer, (values[f"{name}:mean"], values[f"{name}:variance"]))
        return marks

    def _find_made(self, model: keras.Model) -> None:
        """Those that `fit` has made since `note`, which must have started since."""
        if self._noted is None:
            return
        for number, (layer, calls) in _batch_norms(model).items():
            if id(layer) in self._layers:
                self._layers[id(layer)].number = number
            elif id(layer) not in self._noted and (
                isinstance(layer.moving_mean_initializer, keras.initializers.Zeros)
                and isinstance(
                    layer.moving_variance_initializer, keras.initializers.Ones
                )
            ):
                zeros = np.zeros(layer.moving_mean.shape)
                start = _Mark(self._noted_at, zeros, zeros + 1)
                self._layers[id(layer)] = _Layer(
                    number, layer, calls, [start], 0, self._noted_at
                )


def _marked(
    marks: list[_Mark], layer: keras.layers.BatchNormalization, calls: int, now: int
) -> list[_Mark]:
    """Marks with one of now, if there is none or the last has got old enough.

    Where it is not known how often a step calls the layer, only the first is of use.
    """
    if marks and (not calls or now - marks[-1].step < _enough(layer)):
        return marks
    new = _Mark(now, *_averages(layer))
    return [*marks[-1:], new] if new.is_finite else marks


def _enough(layer: keras.layers.BatchNormalization) -> float:
    forgotten = 1 - float(layer.momentum)
    return max(ENOUGH, ENOUGH_OF_MEMORY / forgotten) if forgotten > 0 else math.inf


def _since(
    mark: _Mark, layer: keras.layers.BatchNormalization, moves: int
) -> Statistics | None:
    """Statistics without what they were at a mark; None if they have not moved."""
    mean, spread = averages = _averages(layer)
    if all(map(np.array_equal, averages, mark[1:])):
        return None
    share = layer.momentum**moves
    if share < 1:  # else of a momentum of 1, with which nothing moves
        mean, spread = without_start(mean, spread, share, mark[1:])
    if getattr(layer, "renorm", False):
        spread = np.maximum(spread**2 - layer.epsilon, 0)
    return mean, spread


def without_start(
    mean: np.ndarray,
    spread: np.ndarray,
    share: float,
    start: Statistics = START,
) -> Statistics:
    """Averages without the share of what they started as.

        (average - share start) / (1 - share)

    Args:
        mean: Array, an average.
        spread: Array, one that has moved towards what is at least 0.
        share: Float in [0, 1), that of one move a step. Where a `spread` is smaller
            than that share of its start, there were more moves: then the first power of
            the share for which none is.
        start: Arrays, what both were. Defaults to zeros and ones.

    Example:

    >>> without_start(np.array([0.5]), np.array([1.25]), share=0.75)
    (array([2.]), array([2.]))
    >>> without_start(np.array([0.5]), np.array([0.75]), share=0.8)  # 0.8**2
    (array([1.38888889]), array([0.30555556]))
    """
    can_tell = start[1] > SMALLEST
    ratios = np.divide(spread, start[1], out=np.ones_like(spread), where=can_tell)
    least = float(np.min(ratios, initial=1.0))
    if least <= 0:  # not what an average from there can be
        return mean, spread
    if share > 0 and least < share:
        # Rounding may leave it a little below a power that it has.
        share **= max(1, math.ceil(math.log(least) / math.log(share) - 1e-3))
    corrected = (spread - share * start[1]) / (1 - share)
    return (mean - share * start[0]) / (1 - share), np.maximum(corrected, 0)


def _averages(layer: keras.layers.BatchNormalization) -> Statistics:
    """What Keras averages, in float64."""
    mean, spread = _statistics(layer)
    if getattr(layer, "renorm", False):
        spread = layer.moving_stddev.numpy()
    return mean.astype(np.float64), spread.astype(np.float64)


def _statistics(layer: keras.layers.BatchNormalization) -> Statistics:
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def _assign(layer: keras.layers.BatchNormalization, values: Statistics) -> None:
    layer.moving_mean.assign(values[0])
    layer.moving_variance.assign(values[1])


def _crc(layer: keras.layers.BatchNormalization) -> int:
    return checksum(_statistics(layer))


def _minibatches(model: keras.Model) -> int:
    """As the optimizers of a model count them, together."""
    # Unlike `iterations`, also those between two steps of an accumulated gradient.
    return sum(
        int(each._iterations.numpy())
        + getattr(each, "diagnostics", {}).get("skipped_steps", 0)
        for each in optimizers_of(model)
    )


def moving_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The built BatchNorm layers of a model, wherever it holds them.

    Example:

    >>> norm = keras.layers.BatchNormalization()
    >>> model = keras.Sequential([keras.Input((2,)), keras.Sequential([norm])])
    >>> moving_layers(model) == [norm]
    True
    """
    return [layer for layer, _ in _batch_norms(model).values()]


def _batch_norms(
    model: keras.Model,
) -> dict[int, tuple[keras.layers.BatchNormalization, int]]:
    """The built BatchNorm layers of a model, by the place of the mean in its variables.

    Whatever holds them: a model, a wrapper, a list, another attribute of a layer. With
    how often a step calls each; 0 where that is not known: only functional models that
    are trained by Keras's own step tell.
    """
    numbers = {id(variable): i for i, variable in enumerate(model.variables)}
    calls: collections.Counter[int] = collections.Counter()
    if type(model).train_step is keras.Model.train_step:
        _count_calls(model, calls)
    found: dict[int, tuple[keras.layers.BatchNormalization, int]] = {}
    waiting: list[object] = [model]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        inside = _held_by(value)
        if not inside or id(value) in seen:
            continue
        seen.add(id(value))
        waiting += inside
        if isinstance(value, keras.layers.BatchNormalization):
            number = numbers.get(id(value.moving_mean))
            if number is not None:
                found[number] = value, calls[id(value)]
    return dict(sorted(found.items()))  # by numbers, of which no two are the same


def _count_calls(model: keras.Model, calls: collections.Counter[int]) -> None:
    """How often a functional model calls what is in it, by `id`; of others nothing."""
    functional = getattr(model, "_functional", None) or model  # of a `Sequential`
    by_depth = getattr(functional, "_nodes_by_depth", {})
    for node in itertools.chain.from_iterable(by_depth.values()):
        calls[id(node.operation)] += 1
        if isinstance(node.operation, keras.Model):
            _count_calls(node.operation, calls)


def _held_by(value: object) -> Collection[object]:
    if isinstance(value, keras.layers.Layer):
        return vars(value).values()
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple | set) else ()
