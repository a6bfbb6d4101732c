"""The moving average of the weights, as an optimizer's state."""

import threading
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from keras_fuzzyhess.backend.in_place import move_average, overwrite
from keras_fuzzyhess.backend.outside_functions import outside_functions
from keras_fuzzyhess.measure.averaging_rate import (
    Averaging,
    averaging_rate,
    has_average,
    is_blind,
    tells_of_step_length,
)
from keras_fuzzyhess.state.packing import Packing, native_variable


class _Stepped(threading.local):
    """The weights that a step has changed, by key; replicas are threads."""

    keys: frozenset[str] = frozenset()


class WeightAverages:
    """Averages that begin as the weights, and start anew where a training ends.

    From there on weights that are set between two calls of `fit` stay as a start.
    Weights that are set on the way, by a callback or between two calls of
    `train_on_batch`, are taken as if a step had led to them: to notice them would
    cost every step a pass over the weights.

    Args:
        averages: Mapping from keys of weights to their averages, which may be None.
        key: Callable that maps a weight to its key.
        start: Integer variable, what `iterations` was when they last started anew.
        momentum: Float in [0, 1), the largest momentum.
        constants: `Averaging`.
    """

    def __init__(
        self,
        averages: Mapping[str, keras.Variable | None],
        key: Callable[[tf.Variable], str],
        start: keras.Variable,
        momentum: float,
        constants: Averaging,
    ) -> None:
        self._averages, self._key = averages, key
        self._start, self._momentum = start, momentum
        self._constants = constants
        self._stepped = _Stepped()
        self._ever_stepped: set[str] = set()
        self._is_loaded = False

    def of(self, variable: tf.Variable) -> tf.Variable | None:
        """None for weights that the optimizer does not know or does not average."""
        average = self._averages.get(self._key(variable))
        return None if average is None else average.value

    def begin(self, variables: Sequence[tf.Variable]) -> None:
        """Sets the averages of weights to these as they are.

        Those that they were built with may have been replaced since, by loaded ones.
        """
        weights = [tf.convert_to_tensor(v) for v in variables]
        for variable, values in zip(variables, weights, strict=True):
            if (average := self.of(variable)) is not None:
                overwrite(average, values)

    def way_from(self, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """From the weights to their average, packed."""
        averages = [self.of(v) for v in variables]
        return Packing(variables).pack(
            [
                tf.zeros_like(v) if average is None else average - v
                for v, average in zip(variables, averages, strict=True)
            ]
        )

    def note_stepped(self, variables: Sequence[tf.Variable]) -> None:
        """Takes note of which weights a step changes."""
        self._stepped.keys = frozenset(map(self._key, variables))
        self._ever_stepped |= self._stepped.keys

    def move(
        self,
        variables: Sequence[keras.Variable],
        step: tf.Tensor,
        held: tf.Tensor | bool,
    ) -> None:
        """Moves the averages towards the weights, but where `held`.

        By a momentum that grows, unlike Keras's, so that the average has no bias
        towards the first weights and needs no horizon.
        """
        start, window = self._start.value, self._constants.window
        rate = averaging_rate(step, start, self._momentum, window)
        if held is not False:
            rate = tf.where(held, 0.0, rate)
        for variable in variables:
            if (average := self.of(variable)) is None:
                continue
            weight = tf.convert_to_tensor(variable)
            # Keras is going to constrain them after this.
            if self._key(variable) in self._stepped.keys:
                weight = constrained(variable, weight)
            move_average(average, weight, rate)

    def install(
        self,
        variables: Sequence[keras.Variable],
        step: tf.Tensor,
        update: Callable[..., None],
    ) -> None:
        """Puts the averages in the place of the weights, those that there are.

        Args:
            variables: List of weights.
            step: Scalar integer, number of steps taken.
            update: Callable `(variable, function, args)` that calls the function with
                each replica's copies, `extended.update` of a strategy.
        """
        is_average = has_average(step, self._start.value)
        for variable in variables:
            # A weight without gradients moves only if others set it, to stay there.
            known = self._ever_stepped and not self._is_loaded
            never = known and self._key(variable) not in self._ever_stepped
            if (average := self.of(variable)) is None or never:
                continue

            def put(weight, average, variable=variable):
                # An average of weights on a sphere is not on it.
                value = constrained(variable, tf.convert_to_tensor(average))
                weight.assign(tf.where(is_average, value, weight))

            update(native_variable(variable), put, args=(average,))

    def trust_all(self) -> None:
        """After a state was loaded, of which it is not known what was stepped."""
        self._is_loaded = True

    def start_anew(self, step: tf.Tensor) -> None:
        """From now on: the next average is one of later weights."""
        start = tf.cast(step, tf.int64)
        # The first step leaves its average where it came from, for the next one.
        start = tf.where(start > 1, start, 0)
        self._start.assign(tf.cast(start, self._start.dtype))

    def tells_of_length(self, step: tf.Tensor) -> tf.Tensor:
        """Whether a loss at the average tells anything."""
        return tells_of_step_length(step, self._start.value)

    def are_blind(self, step: tf.Tensor, loss_probes: tf.Tensor) -> tf.Tensor:
        """Whether the gain must be held, for nothing is going to correct it."""
        latest = self._constants.latest
        return is_blind(step, self._start.value, loss_probes, latest)


class FirstWeights:
    """Makes averages that begin as the weights.

    Zeros before the first step would be shown by `SwapEMAWeights` in the place of the
    weights if all minibatches are skipped.

    Attributes:
        were_missing: Whether a weight had no value yet.
    """

    def __init__(self) -> None:
        self.were_missing = False

    def add(
        self,
        variables: Sequence[keras.Variable],
        add: Callable[..., list[keras.Variable]],
    ) -> list[keras.Variable]:
        """The averages; `add` makes one for a list of one weight and an initializer."""
        averages: list[keras.Variable] = []
        # Weights are no constants that TensorFlow could lift out of a function.
        with outside_functions():
            for variable in variables:
                averages += add([variable], initializer=self._value_of(variable))
        return averages

    def _value_of(self, variable: keras.Variable) -> Callable:
        def initializer(shape, dtype=None):
            if native_variable(variable).is_initialized():
                return tf.convert_to_tensor(variable)
            # `fit` makes the weights of a model without input shape while it traces
            # the step that makes these, and gives them values after that.
            self.were_missing = True
            return tf.zeros(shape, dtype)

        return initializer


def constrained(variable: keras.Variable, value: tf.Tensor) -> tf.Tensor:
    """What the constraint of a weight, if it has one, makes of a value for it.

    Example:

    >>> weight = keras.Variable([1.0, -1.0])
    >>> weight.constraint = keras.constraints.NonNeg()
    >>> constrained(weight, tf.constant([-2.0, 3.0])).numpy().tolist()
    [0.0, 3.0]
    """
    if variable.constraint is None:
        return value
    return tf.cast(tf.convert_to_tensor(variable.constraint(value)), value.dtype)
