"""Moving statistics of BatchNorm, shown without the share of what they started as.

They start as zeros and ones and keep the share `momentum**t` of that after `t` steps:
2/3 after forty with Keras's momentum. Weights that move fast are then validated with
statistics of other ones. Adam corrects its averages for such a start; so it is here.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_fuzzyhess.backend.own_optimizers import optimizers_of
from keras_fuzzyhess.backend.saved_state import checksum

PREFIX = "moving"
"""Of the names under which they are saved: `moving:4:start`, `moving:4:mean`."""


@dataclass
class _Start:
    """A layer whose statistics have started as zeros and ones, and when.

    Attributes:
        number: Place of its moving mean among the model's variables.
        step: Minibatches that the model had been trained on.
        seen: CRC-32 of its statistics when they were put in or out last.
        kept: Mean and variance themselves, while others are in their place.
        was_set: Whether others had set them when they were to be put back.
    """

    number: int
    layer: keras.layers.BatchNormalization
    step: int
    seen: int
    kept: tuple[np.ndarray, np.ndarray] | None = None
    was_set: bool = False

    @property
    def is_as_seen(self) -> bool:
        return _crc(self.layer) == self.seen

    @property
    def is_out(self) -> bool:
        return self.kept is not None and self.is_as_seen


class MovingStatistics:
    """Puts corrected statistics in the place of a model's, and these back to the bit.

    Steps are counted by what the model's optimizers count: each minibatch of an
    accumulated gradient, and the steps of several optimizers together. Too many are
    better than too few, for the statistics are then corrected by less. A layer that is
    called several times in a step has moved more often than is counted. It shows where
    a variance is below the share of the start, which it cannot be; then the smallest
    power of the share is taken that it can have.

    Statistics that have not moved are not touched, nor are those that did not start as
    zeros and ones: trained before, loaded, or set by others on the way. They are saved
    with the state of an optimizer of this package while they are out.

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
        self._starts: dict[int, _Start] = {}  # by the id of the layer
        self._loaded: dict[str, np.ndarray] = {}
        self._noted_at = 0
        self._noted: set[int] | None = (
            None  # layers, by id; None if none were looked at
        )

    @property
    def are_in(self) -> bool:
        """Whether corrected statistics are in the model, now."""
        return any(start.is_out for start in self._starts.values())

    def note(self, model: keras.Model) -> None:
        """Takes note of which statistics start now; nothing is trained before.

        Puts them back, those of a file that has been loaded among them. Of layers whose
        statistics are not as they were seen last it forgets that they had a start.
        """
        self.put_back()
        layers, now = _batch_norms(model), _minibatches(model)
        # An interrupt in an epoch leaves statistics that have moved since.
        has_stepped = now > self._noted_at
        steps = {
            key: start.step
            for key, start in self._starts.items()
            if start.is_as_seen or (has_stepped and not start.was_set)
        }
        steps |= self._take_loaded(layers)
        self._starts = {}
        for number, layer in layers.items():
            step = now if _is_as_started(layer) else steps.get(id(layer))
            if step is not None:
                self._starts[id(layer)] = _Start(number, layer, step, _crc(layer))
        self._noted_at, self._noted = now, set(map(id, layers.values()))

    def put_in(self, model: keras.Model) -> bool:
        """Puts corrected statistics in, and keeps the statistics themselves.

        Returns:
            Whether there were any to put in.
        """
        if self.are_in:
            return False
        self._find_made(model)
        now = _minibatches(model)
        for start in self._starts.values():
            layer, steps = start.layer, now - start.step
            start.seen, start.kept = _crc(layer), None
            if steps <= 0 or _is_as_started(layer):
                continue
            corrected = _corrected(layer, layer.momentum**steps)
            if all(np.isfinite(values).all() for values in corrected):
                start.kept = _statistics(layer)
                _assign(layer, corrected)
                start.seen = _crc(layer)
        return self.are_in

    def put_back(self) -> None:
        """Undoes `put_in`, but for statistics that have been set since."""
        for start in self._starts.values():
            start.was_set |= start.kept is not None and not start.is_as_seen
            if start.kept is not None and start.is_as_seen:
                _assign(start.layer, start.kept)
                start.seen = _crc(start.layer)
            start.kept = None

    def forget(self) -> None:
        """What is in the model stays, and needs no correction from here on."""
        self._starts, self._loaded, self._noted = {}, {}, None

    def saved(self) -> dict[str, np.ndarray]:
        """What is to be saved, by name."""
        values = dict(self._loaded)
        for start in self._starts.values():
            if start.kept is not None and not start.is_out:
                continue  # set by others
            name = f"{PREFIX}:{start.number}"
            values[f"{name}:start"] = np.array(start.step, np.int64)
            values[f"{name}:seen"] = np.array(_crc(start.layer), np.uint32)
            if start.kept is not None:
                values[f"{name}:mean"], values[f"{name}:variance"] = start.kept
        return values

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Takes back what `saved` has returned, for the next `note`."""
        self.forget()
        self._loaded = dict(values)

    def _take_loaded(
        self, layers: Mapping[int, keras.layers.BatchNormalization]
    ) -> dict[int, int]:
        """The starts of layers whose statistics are those beside which it was saved."""
        values, self._loaded = self._loaded, {}
        steps = {}
        for number, layer in layers.items():
            name = f"{PREFIX}:{number}"
            if values.get(f"{name}:seen") == _crc(layer):
                steps[id(layer)] = int(values[f"{name}:start"])
                if f"{name}:mean" in values:
                    _assign(layer, (values[f"{name}:mean"], values[f"{name}:variance"]))
        return steps

    def _find_made(self, model: keras.Model) -> None:
        """Those that `fit` has made since `note`, which must have started since."""
        if self._noted is None:
            return
        for number, layer in _batch_norms(model).items():
            if id(layer) in self._starts:
                self._starts[id(layer)].number = number
            elif id(layer) not in self._noted and (
                isinstance(layer.moving_mean_initializer, keras.initializers.Zeros)
                and isinstance(
                    layer.moving_variance_initializer, keras.initializers.Ones
                )
            ):
                self._starts[id(layer)] = _Start(number, layer, self._noted_at, 0)


def without_start(
    mean: np.ndarray, spread: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Averages without the share of zeros and ones that they started as.

    Args:
        mean: Array, an average that started as zeros.
        spread: Array, one that started as ones and has moved towards what is >= 0.
        share: Float in [0, 1), that of one move a step. Where a `spread` is smaller,
            there were more: then the first power of it that is not larger than any.

    Example:

    >>> without_start(np.array([0.5]), np.array([1.25]), share=0.75)
    (array([2.]), array([2.]))
    >>> without_start(np.array([0.5]), np.array([0.75]), share=0.8)  # 0.8**2
    (array([1.38888889]), array([0.30555556]))
    """
    least = float(np.min(spread, initial=1.0))
    if least <= 0:  # not what an average from ones can be
        return mean, spread
    if share > 0 and least < share:
        share **= math.ceil(math.log(least) / math.log(share))
    return mean / (1 - share), (spread - share) / (1 - share)


def _corrected(
    layer: keras.layers.BatchNormalization, share: float
) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (v.astype(np.float64) for v in _statistics(layer))
    if share >= 1:  # of a momentum of 1, with which nothing moves
        return mean, variance
    if not getattr(layer, "renorm", False):
        return without_start(mean, variance, share)
    # Keras averages the standard deviation there, and squares that.
    deviation = np.array(layer.moving_stddev).astype(np.float64)
    mean, deviation = without_start(mean, deviation, share)
    return mean, np.maximum(deviation**2 - layer.epsilon, 0)


def _statistics(
    layer: keras.layers.BatchNormalization,
) -> tuple[np.ndarray, np.ndarray]:
    return np.array(layer.moving_mean), np.array(layer.moving_variance)


def _assign(
    layer: keras.layers.BatchNormalization, values: tuple[np.ndarray, np.ndarray]
) -> None:
    layer.moving_mean.assign(values[0])
    layer.moving_variance.assign(values[1])


def _is_as_started(layer: keras.layers.BatchNormalization) -> bool:
    mean, variance = _statistics(layer)
    return not mean.any() and bool((variance == 1).all())


def _crc(layer: keras.layers.BatchNormalization) -> int:
    return checksum(_statistics(layer))


def _minibatches(model: keras.Model) -> int:
    """As the optimizers of a model count them, together."""
    # Unlike `iterations`, also those between two steps of an accumulated gradient.
    return sum(
        int(np.array(each._iterations))
        + getattr(each, "diagnostics", {}).get("skipped_steps", 0)
        for each in optimizers_of(model)
    )


def _batch_norms(model: keras.Model) -> dict[int, keras.layers.BatchNormalization]:
    """The built BatchNorm layers of a model, by the place of the mean in its variables.

    Whatever holds them: a model, a wrapper, a list, another attribute of a layer.
    """
    numbers = {id(variable): i for i, variable in enumerate(model.variables)}
    found: dict[int, keras.layers.BatchNormalization] = {}
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
                found[number] = value
    return dict(sorted(found.items()))


def _held_by(value: object) -> Collection[object]:
    if isinstance(value, keras.layers.Layer):
        return vars(value).values()
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple | set) else ()
