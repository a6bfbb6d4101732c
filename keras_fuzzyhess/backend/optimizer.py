"""The one Keras optimizer: plumbing between Keras and an algorithm.

Where the loss and the second gradient come from, in `fit`, in a custom loop or in eager
code; which steps are taken; how averages and state are kept and saved. What is measured
and what is done with it is in `algorithm.py`.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import arguments
from keras_fuzzyhess.algorithm import Algorithm
from keras_fuzzyhess.backend import (
    kept_weights,
    moving_statistics,
    refusals,
    saved_state,
)
from keras_fuzzyhess.backend.closure import ClosureGradients, refuse_noise
from keras_fuzzyhess.backend.divergence import Divergence
from keras_fuzzyhess.backend.finite_steps import FiniteSteps, is_finite_step
from keras_fuzzyhess.backend.graph_path import is_around
from keras_fuzzyhess.backend.in_place import subtract_multiple
from keras_fuzzyhess.backend.kept_weights import KeptWeights, split
from keras_fuzzyhess.backend.lagging_statistics import LaggingStatisticsWarning
from keras_fuzzyhess.backend.minibatch import (
    GradientsAt,
    Minibatch,
    PendingStep,
    dense_gradients,
    scalar_loss,
    sum_of_losses,
)
from keras_fuzzyhess.backend.moving_statistics import MovingStatistics
from keras_fuzzyhess.backend.outside_functions import outside_functions
from keras_fuzzyhess.backend.own_optimizers import OwnOptimizerWarning
from keras_fuzzyhess.backend.replay import GradientReplay
from keras_fuzzyhess.backend.replicas import (
    cond_in_every_replica,
    refuse_meeting_in_own_branch,
)
from keras_fuzzyhess.backend.traced_loss import find_loss
from keras_fuzzyhess.backend.weight_averages import FirstWeights, WeightAverages
from keras_fuzzyhess.backend.whole_build import whole_build
from keras_fuzzyhess.fuzzy import restore_rule_base
from keras_fuzzyhess.measure.averaging_rate import Averaging
from keras_fuzzyhess.measure.probe import Probe
from keras_fuzzyhess.parts import Step
from keras_fuzzyhess.state.packing import Packing, native_variable
from keras_fuzzyhess.state.vectors import root_mean_square


class SecondGradientOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer that gives an algorithm gradients at shifted weights.

    A subclass sets `algorithm`.

    Args:
        **kwargs: The arguments of `keras.optimizers.Optimizer`.
    """

    algorithm: Algorithm  # or what acts as one
    # Whether the weights are averaged, whatever `use_ema` is, for the algorithm
    # measures there; `use_ema` says whether `fit` ends with the average.
    _averages_weights = False
    _averaging = Averaging()
    first_step_length = 0.0  # in `diagnostics` before the first step
    seed: int | None = None  # of what the algorithm draws

    def __init__(self, **kwargs) -> None:
        arguments.refuse_unknown(type(self), kwargs)
        super().__init__(**arguments.checked_keras_arguments(kwargs))
        self._pending = PendingStep()
        self._first_weights = FirstWeights()
        self._warn_of_eager_code = refusals.EagerCodeWarning()
        self._warn_of_own_optimizer = OwnOptimizerWarning()
        self._lagging_statistics = LaggingStatisticsWarning()
        self._loaded_state: Mapping[str, np.ndarray] = {}
        self._kept = KeptWeights()
        self.statistics = MovingStatistics()  # of the model that it trains
        self._puts_back_when_built = False
        self._ended_at = 0  # steps taken when a training ended last
        # Of each variable, by its id: how it is called, what it begins as.
        self._names: dict[int, str] = {}
        self._first_values: dict[int, Callable] = {}

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls.build, "is_whole"):  # its own, or that of a mixin
            cls.build = whole_build(cls.build)  # type: ignore[method-assign]

    # What users and Keras call.

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Takes note of the loss and scales it by `loss_scale_factor`, if given.

        `fit` calls it. A training loop of your own calls it inside the tape; without,
        the optimizer looks for the loss in the traced step (`traced_loss.py`). In a
        traced step the losses of several calls count as their sum, so multiply losses
        by their weights, not gradients.

        Args:
            loss: Scalar tensor.

        Returns:
            Scalar tensor.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> @tf.function
        ... def train_step():
        ...     with tf.GradientTape() as tape:
        ...         loss = optimizer.scale_loss(tf.reduce_sum(w**2))
        ...     optimizer.apply(tape.gradient(loss, [w]), [w])
        >>> train_step()
        >>> float(tf.reduce_sum(w**2)) < 34.0
        True
        """
        self._pending.tell(loss)
        return super().scale_loss(loss)

    def minimize(
        self, loss_fn: Callable[[], tf.Tensor], variables: Sequence[tf.Variable]
    ) -> tf.Tensor:
        """Takes one step on the loss that `loss_fn` computes.

        In eager code the second gradient is taken by calling `loss_fn` again at shifted
        weights; layers of Keras repeat their noise, and their state moves once. Inside
        `tf.function` the traced gradients are replayed as in `fit`.

        Args:
            loss_fn: Callable without arguments that returns the scalar loss. The model
                in it must be built.
            variables: List of the weights to train.

        Returns:
            The loss before the step.

        Raises:
            ValueError: in eager code, if the first two calls of `loss_fn` differ by
                more than rounding (noise from elsewhere than Keras's seeds).

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> for _ in range(60):
        ...     loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        >>> float(loss) < 1.0
        True
        """
        variables = list(variables)
        if not variables:
            raise ValueError(
                "`minimize` must be given weights to train. Received: an empty list. "
                "Give `model.trainable_variables` of a model that is built."
            )
        if not tf.executing_eagerly():
            with tf.GradientTape() as tape:
                loss = loss_fn()
                scaled = self.scale_loss(loss)
            self.apply(tape.gradient(scaled, variables), variables)
            return loss
        closure = self._closure_gradients(loss_fn, variables)
        gradients, loss = closure.at_weights()
        if not self.built:
            refuse_noise(loss, closure.at_weights()[1])
        self._pending.losses, self._pending.loss_fn = [loss], loss_fn
        self.apply(gradients, variables)
        if int(self._finite.skipped_in_a_row.numpy()) == 0:
            closure.commit()
        self.warn_of_skipped_steps()
        self.warn_of_divergence()
        return loss

    @tf.autograph.experimental.do_not_convert  # to look for what to convert takes long
    def apply(self, grads, trainable_variables=None) -> None:
        """Updates the weights, as in `keras.optimizers.Optimizer`.

        If the loss or a gradient is not finite, it counts the minibatch as skipped and
        does no more.

        In eager code, where it cannot be seen how the gradients were computed, the step
        is taken without probes, and a warning says so once.

        Args:
            grads: List of gradients, as a rule tensors of the function being traced.
            trainable_variables: List of weights; may be left out once built.

        Raises:
            ValueError: if a second gradient cannot be taken: the loss is not known, the
                gradients are not part of the graph being traced, are summed over
                minibatches or depend on what cannot be repeated.
        """
        try:
            if not grads or (trainable_variables is None and not self.built):
                super().apply(grads, trainable_variables)  # which says what is missing
                return
            refuse_meeting_in_own_branch(
                gradient_accumulation_steps=self.gradient_accumulation_steps,
                ema_overwrite_frequency=self.use_ema and self.ema_overwrite_frequency,
            )
            if trainable_variables is None:
                trainable_variables = self._trainable_variables
            variables = list(trainable_variables)
            grads = dense_gradients(grads, variables)
            if self.use_ema:
                self._warn_of_own_optimizer(self)
                moved = [
                    v for g, v in zip(grads, variables, strict=True) if g is not None
                ]
                self._lagging_statistics.look(self, moved, self.statistics.are_noted)
            self._apply_if_finite(grads, variables)
        finally:
            self._pending.clear()

    @whole_build
    def build(self, variables) -> None:
        """Creates the optimizer's variables, some numbers for each of `variables`.

        A state that was loaded before is taken. Where it fails, the optimizer is left
        as it was. A subclass that keeps variables of its own adds them here, under
        names.

        Raises:
            ValueError: if there are weights, but none of them has an element, if one
                is stored in less than 32 bits, or if the loaded state does not fit.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> class Counting(FuzzyHess):
        ...     def build(self, variables):
        ...         super().build(variables)
        ...         self.count = self.add_variable((), dtype="int", name="count")
        >>> optimizer = Counting()
        >>> optimizer.build([keras.Variable([1.0, 2.0])])
        >>> optimizer.variables[-1].name
        'count'
        """
        name, weights = type(self).__name__, self.stepped(variables)
        arguments.check_elements(name, variables)
        arguments.check_precision(name, weights)
        super().build(variables)
        self._finite = FiniteSteps(self.add_variable)
        minibatches = self.gradient_accumulation_steps or 1
        self._divergence = Divergence(self.add_variable, minibatches)
        self._probes = self.add_variable((), dtype="int", name="probes")
        self._places = {self._var_key(v): i for i, v in enumerate(weights)}
        self.algorithm.build(weights, self.add_variable)
        if self._averages_weights:
            self._build_averages(variables)
        if self.algorithm.probes.draws_signs:
            self._seed_generator = keras.random.SeedGenerator(self.seed)
            self._track_variable(self._seed_generator.state)

    def add_variable(
        self, shape, initializer="zeros", *args, name=None, **kwargs
    ) -> keras.Variable:
        """As Keras; `start_anew` sets it to what it begins as."""
        variable = super().add_variable(shape, initializer, *args, name=name, **kwargs)
        self._names[id(variable)] = name or "variable"
        self._first_values[id(variable)] = keras.initializers.get(initializer)
        return variable

    def add_variable_from_reference(
        self, reference_variable, name=None, initializer="zeros"
    ):
        """As Keras; saved without the name of the weight, which counts layers."""
        variable = super().add_variable_from_reference(
            reference_variable, name, initializer
        )
        self._names[id(variable)] = name or "variable"
        return variable

    def _build_averages(self, variables) -> None:
        if not self.use_ema:  # else Keras has made them
            self._model_variables_moving_average = self.add_optimizer_variables(
                variables, "average"
            )
        by_key = dict(
            zip(
                map(self._var_key, variables),
                self._model_variables_moving_average,
                strict=True,
            )
        )
        start = self.add_variable((), dtype="int", name="average_start")
        self._average = WeightAverages(
            by_key, self._var_key, start, self.ema_momentum, self._averaging
        )

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """As Keras, but averages begin as the weights."""
        add = super().add_optimizer_variables
        if name != "average" or not self._averages_weights:
            return add(trainable_variables, name, initializer)
        return self._first_weights.add(
            trainable_variables, functools.partial(add, name=name)
        )

    def stepped(self, variables: Sequence[keras.Variable]) -> list[keras.Variable]:
        """Without those that Keras overwrites with their gradients: float8's scales."""
        return [v for v in variables if not self._overwrite_variable_with_gradient(v)]

    # How a step is taken.

    def _apply_if_finite(self, grads, trainable_variables) -> None:
        # Keras's own `apply` is called in a branch, so that all it does is skipped, and
        # the gradients out here are still those of the minibatch, which a probe needs.
        if not self.built:  # a branch cannot create variables
            with outside_functions():
                self.build(trainable_variables)
        self._check_variables_are_known(trainable_variables)
        all_variables = trainable_variables
        grads, trainable_variables = self._filter_empty_gradients(
            grads, trainable_variables
        )
        stepped = self.stepped(trainable_variables)
        pairs = list(zip(grads, trainable_variables, strict=True))
        left = [p for p in pairs if self._overwrite_variable_with_gradient(p[1])]
        grads = [g for g, v in pairs if not self._overwrite_variable_with_gradient(v)]
        variables = [native_variable(v) for v in stepped]
        loss, replay = self._measurable(grads, variables)
        minibatch = Minibatch(grads, loss, variables, self.loss_scale_factor)
        finite = is_finite_step(minibatch.loss, minibatch.packed)
        if replay is not None:
            self._probe_if_due(minibatch, replay, variables, finite)
        take_step = functools.partial(
            super().apply,
            [*minibatch.gradients, *(g for g, _ in left)],
            [*stepped, *(v for _, v in left)],
        )

        def take() -> None:
            self._divergence.watch(minibatch.loss)
            if replay is not None:  # else it may be that nobody knows it
                self.algorithm.watch(minibatch.loss)
            take_step()

        self._finite.take_or_skip(finite, take)
        if self._first_weights.were_missing:
            # Even if this step was skipped, the averages must not be shown as zeros.
            begin = functools.partial(self._average.begin, all_variables)
            cond_in_every_replica(tf.equal(self.iterations, 0), begin, lambda: None)

    def _measurable(
        self, grads: list[tf.Tensor], variables: list[tf.Variable]
    ) -> tuple[tf.Tensor, GradientsAt | None]:
        """The loss, as far as it is known, and how to take the gradients again."""
        losses, loss_fn = self._pending.losses, self._pending.loss_fn
        if loss_fn is not None:
            return losses[0], self._closure_gradients(loss_fn, variables)
        if tf.executing_eagerly():
            has_other_steps = self._are_probes_due() is not True
            self._warn_of_eager_code(type(self).__name__, has_other_steps)
            known = [loss for loss in losses if not tf.is_symbolic_tensor(loss)]
            return scalar_loss(known[0]) if known else tf.zeros(()), None
        told = [x for x in losses if is_around(x)]  # not left over from elsewhere
        loss = told[0] if len(told) == 1 else find_loss(grads, variables)
        loss = sum_of_losses(told if loss is None else [loss])
        if loss is None:
            refusals.refuse_unknown_loss(type(self).__name__, bool(losses))
        return loss, GradientReplay(grads, loss, variables)

    def _closure_gradients(self, loss_fn, variables) -> ClosureGradients:
        # Scaled as those of a traced step, which `apply` is going to divide.
        scale = self.loss_scale_factor or 1.0
        return ClosureGradients(loss_fn, [native_variable(v) for v in variables], scale)

    def _are_probes_due(self) -> tf.Tensor | bool:
        return self.algorithm.probes.are_due(self.iterations)

    def _probe_if_due(self, minibatch: Minibatch, replay, variables, finite) -> None:
        due = self._are_probes_due()
        if self.gradient_accumulation_steps:
            steps = self.gradient_accumulation_steps
            due = due & tf.equal((self._iterations.value + 1) % steps, 0)

        def take() -> Probe:
            return minibatch.probe(replay, lambda g: self._shifts(g, variables))

        def observe(probe: Probe) -> None:
            self._observe(probe, variables)
            self._probes.assign_add(1)

        # A probe in every step is taken outside of the branch, in which XLA on a CPU
        # computes gradients of convolutions many times more slowly.
        taken = take() if due is True else None
        cond_in_every_replica(
            finite & due, lambda: observe(taken or take()), lambda: None
        )

    def _shifts(self, gradients, variables) -> list[tf.Tensor]:
        draws = self.algorithm.probes.draws_signs
        return self.algorithm.probes.shifts(
            gradients,
            self._step(variables),
            # Replicas keep generators outside of branches.
            self._seed_generator.next() if draws else None,
            lambda: self._average.way_from(variables),
        )

    def _observe(self, probe: Probe, variables) -> None:
        tells: tf.Tensor | bool = True
        if self._averages_weights:
            tells = self._average.tells_of_length(self.iterations)
        keep_or_drop = self._finite.keep_or_drop
        self.algorithm.observe(probe, self._step(variables), tells, keep_or_drop)

    def _step(self, variables: Sequence[tf.Variable]) -> Step:
        return Step(
            self.iterations, [self._places[self._var_key(v)] for v in variables]
        )

    def _backend_update_step(self, grads, trainable_variables, learning_rate) -> None:
        # Overridden because an update needs means over all weights, which Keras's
        # `update_step`, called with one variable at a time, cannot take. Every replica
        # computes the same update from the summed gradients and writes its own copy.
        variables = [native_variable(v) for v in trainable_variables]
        packing = Packing(variables)
        hold: tf.Tensor | bool = False
        if self._averages_weights:
            is_first = tf.equal(self.algorithm.length.value, 0)
            begin = functools.partial(self._begin, variables)
            cond_in_every_replica(is_first, begin, lambda: None)
            loss_probes = self.algorithm.probes.loss_probes
            hold = self._average.are_blind(self.iterations, loss_probes)
        direction, length = self.algorithm.update(
            packing.pack(grads),
            self._step(variables),
            tf.cast(learning_rate, tf.float32),
            hold,
        )
        if self.weight_decay:
            size = length * root_mean_square(direction)
            decay = tf.minimum(self.weight_decay * size, 1.0)
            for variable in filter(self._use_weight_decay, variables):
                subtract_multiple(variable, decay, tf.convert_to_tensor(variable))
        for variable, u in zip(variables, packing.unpack(direction), strict=True):
            subtract_multiple(variable, length, u)

    def _begin(self, variables: Sequence[tf.Variable]) -> None:
        """Takes note of the first weights."""
        self._average.begin(variables)
        self.algorithm.length.start([tf.convert_to_tensor(v) for v in variables])

    def _apply_weight_decay(self, variables) -> None:
        """Does nothing: the decay is scaled by the step, which is not known yet."""

    # How averages are kept.

    def _backend_apply_gradients(self, grads, trainable_variables) -> None:
        if not self._averages_weights:
            super()._backend_apply_gradients(grads, trainable_variables)
            return
        self._average.note_stepped(trainable_variables)
        super()._backend_apply_gradients(grads, trainable_variables)
        if not self.use_ema:  # else Keras has done it
            self._update_model_variables_moving_average(self._trainable_variables)

    def _update_model_variables_moving_average(self, trainable_variables) -> None:
        if not self._averages_weights:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        held: tf.Tensor | bool = False
        if self.gradient_accumulation_steps:
            accumulated = (self._iterations + 1) % self.gradient_accumulation_steps
            held = tf.not_equal(accumulated, 0)
        self._average.move(trainable_variables, self.iterations, held)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables
    ) -> None:
        # Overridden because Keras's pairs weights and averages in their order, which
        # goes wrong as soon as a layer is frozen after the optimizer was built. Weights
        # that it was not built with, or does not average, stay as they are.
        if not self._averages_weights:
            super()._overwrite_model_variables_with_average_value(trainable_variables)
            return
        update = self._distribution_strategy.extended.update
        self._average.install(trainable_variables, self.iterations, update)

    def finalized_by_a_callback(self, is_finalized: bool) -> None:
        """Takes note of whether someone is going to put the averages in."""
        self._warn_of_own_optimizer.is_settled = is_finalized

    @property
    def averaged_weights(self) -> list[keras.Variable]:
        """Those in whose place the averages are put, in the order of `build`."""
        return list(self._trainable_variables) if self.built and self.use_ema else []

    @property
    def averages_are_in(self) -> bool:
        """Whether `put_averages_in` has put them in, and they are still there."""
        return self._kept.are_out

    def put_averages_in(self, variables: Sequence[keras.Variable]) -> None:
        """Puts the averages in the place of the weights, and keeps these.

        Unlike `finalize_variable_values`, after which the average starts anew.
        """
        if not (self.built and self.use_ema):
            return
        step = int(self.iterations.numpy())
        if step == self._ended_at:
            return  # no average before the first step, and none but those in the model
        install = functools.partial(
            self._overwrite_model_variables_with_average_value, variables
        )
        self._kept.replace(variables, install, step)

    def put_weights_back(self) -> None:
        """Undoes `put_averages_in`, but for weights that have been set since.

        Their average begins where they were set to. Of a state that was loaded before
        the optimizer is built, it does so when it is.
        """
        if not self.built:
            self._puts_back_when_built = True
            return
        if self._kept.step != int(self.iterations.numpy()):
            self._kept.forget()  # steps were taken from the averages
        were_set = self._kept.put_back()
        if self._averages_weights:
            for variable in were_set:
                if (average := self._average.of(native_variable(variable))) is not None:
                    average.assign(tf.convert_to_tensor(variable))

    def finalize_variable_values(self, var_list) -> None:
        """Ends a training, as `fit` does: with `use_ema`, the averages take the place.

        Does nothing before the first step, when there is no average. Where the averages
        are in already, what the model has stays. Warns if ten steps in a row were
        skipped, the loss has diverged, or BatchNorm's statistics lag behind, and nobody
        has said so yet.

        Args:
            var_list: List of the model's trainable variables.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([5.0, -3.0]), FuzzyHess(seed=0)
        >>> path = []
        >>> for _ in range(3):
        ...     loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        ...     path.append(w.numpy())
        >>> optimizer.finalize_variable_values([w])
        >>> bool(min(path[1][0], path[2][0]) < w[0] < max(path[1][0], path[2][0]))
        True
        """
        if not self.built:
            return
        finalize = functools.partial(super().finalize_variable_values, var_list)
        if tf.inside_function():
            cond_in_every_replica(self.iterations > 0, finalize, lambda: None)
        elif (step := int(self.iterations.numpy())) > 0 and step != self._kept.step:
            finalize()
        self._kept.forget()
        self._puts_back_when_built = False
        if self.use_ema:
            self._lagging_statistics.tell(self.statistics.are_noted)
        self.statistics.forget()
        if not tf.inside_function():
            self._ended_at = int(self.iterations.numpy())
        self.warn_of_skipped_steps()
        self.warn_of_divergence()
        self._divergence.begin_anew()
        if self.use_ema and self._averages_weights:
            self._average.start_anew(self.iterations)

    def warn_of_skipped_steps(self) -> None:
        """Warns if ten steps in a row were skipped since it was called last.

        `fit` calls it at its end, `FuzzyHessMonitor` after every epoch, `minimize` in
        eager code after every step. Inside a `tf.function` it does nothing.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([1.0]), FuzzyHess(seed=0)
        >>> for _ in range(9):
        ...     loss = optimizer.minimize(lambda: w[0] * float("nan"), [w])
        >>> optimizer.warn_of_skipped_steps()
        >>> optimizer.diagnostics["skipped_in_a_row"], w.numpy().item()
        (9, 1.0)
        """
        if self.built and not tf.inside_function():
            self._finite.warn(type(self).__name__)

    def warn_of_divergence(self) -> None:
        """Warns once if the loss has stayed a hundredfold over its level.

        For a hundred more steps than not. It is called where `warn_of_skipped_steps`
        is, and by `AveragesInValidation` after every epoch, and inside a `tf.function`
        does nothing. A training loop of your own may call it now and then.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([1.0]), FuzzyHess(seed=0)
        >>> loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        >>> optimizer.warn_of_divergence()  # it has not
        """
        if self.built and not tf.inside_function():
            rate = float(tf.convert_to_tensor(self.learning_rate))
            self._divergence.warn(type(self).__name__, rate)

    # What it shows.

    @property
    def total_steps(self) -> int | None:
        """The planned number of steps, or None without a plan; may be assigned.

        It is part of the optimizer's state, so that a plan made between two calls of
        `fit` counts from the next step on, in a train function traced before as well.

        Raises:
            ValueError: when assigned what is neither a positive integer nor None.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> optimizer = FuzzyHess()
        >>> optimizer.build([keras.Variable([1.0, 2.0])])
        >>> optimizer.total_steps = 500
        >>> optimizer.total_steps
        500
        """
        if not self.built:
            return self.algorithm.controller.planned
        return int(self.algorithm.controller.horizon.numpy()) or None

    @total_steps.setter
    def total_steps(self, total_steps: int | None) -> None:
        if total_steps is not None:
            total_steps = arguments.check_integer(
                "total_steps", total_steps, 1, " or None"
            )
        self.algorithm.controller.planned = total_steps
        if self.built:
            taken = int(self.iterations.numpy())
            self.algorithm.controller.plan(total_steps, taken)

    @property
    def ema_momentum(self) -> float:
        """The largest momentum of the average; may be assigned until it is built.

        Raises:
            ValueError: when assigned what is not in [0, 1).
            AttributeError: when assigned once the optimizer is built.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> optimizer = FuzzyHess()
        >>> optimizer.ema_momentum = 0.99
        >>> optimizer.get_config()["ema_momentum"]
        0.99
        """
        return self._ema_momentum

    @ema_momentum.setter
    def ema_momentum(self, ema_momentum: float) -> None:
        if getattr(self, "built", False):  # not there yet when Keras assigns it first
            raise AttributeError(
                "`ema_momentum` must be assigned before the first step, for steps are "
                f"traced with it. Received: ema_momentum={ema_momentum!r}. Compile the "
                f"model with a new `{type(self).__name__}(ema_momentum=...)`."
            )
        self._ema_momentum = arguments.check_momentum("ema_momentum", ema_momentum)

    @property
    def diagnostics(self) -> dict[str, float]:
        """What the optimizer has measured and decided, as a dict of numbers.

        - `step_length`: length of the first step, `a`, in units of the weights, less
          if that was too long; 1 for SALO, which has none.
        - `gain`: factor `c` that the rule base has set.
        - `beta_3`: momentum of the curvature, in [0, 1), if any is measured.
        - `loss_trend`: in [-1, 1], positive when the loss falls.
        - `loss_fall`: in [-1, 1], 1 when the loss falls as `loss_trend` promises.
        - `progress`: in [0, 1].
        - `mean_curvature`: mean over all weights of the curvature's scale, in units
          of loss per squared weight; 0 if none is measured.
        - `probes`: gradient evaluations beyond one a step, so far.
        - `skipped_steps`: minibatches so far whose loss or gradient was not finite.
        - `skipped_in_a_row`: those of them since the last step that was taken.
        - `dropped_probes`: probes so far that measured nothing finite.

        Before the optimizer is built, they are those from before the first step.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> optimizer = FuzzyHess()
        >>> optimizer.diagnostics["gain"], optimizer.diagnostics["probes"]
        (1.0, 0)
        """
        if not self.built:
            return _AT_START | {"step_length": self.first_step_length}
        algorithm, curvature = self.algorithm, self.algorithm.curvature
        signals = {
            "step_length": algorithm.length.value,
            "gain": algorithm.controller.gain,
            "beta_3": algorithm.controller.beta_3,
            "loss_trend": algorithm.trend,
            "loss_fall": algorithm.probes.fall,
            "progress": algorithm.controller.progress(self.iterations),
            "mean_curvature": 0.0 if curvature is None else curvature.mean,
            "probes": self._probes.value,
            "skipped_steps": self._finite.skipped.value,
            "skipped_in_a_row": self._finite.skipped_in_a_row.value,
            "dropped_probes": self._finite.dropped_probes.value,
        }
        return {
            name: tf.convert_to_tensor(signal).numpy().item()
            for name, signal in signals.items()
        }

    # How the arguments and the state are saved.

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described, or with defaults for what lacks.

        Args:
            config: Dict of constructor arguments.
            custom_objects: Dict of classes and functions by name that are not
                registered with Keras.

        Returns:
            The optimizer, without state.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> float(FuzzyHess.from_config({"learning_rate": 0.5}).learning_rate)
        0.5
        """
        config = dict(config)  # Keras writes into it
        if config.get("rule_base") is not None:
            config["rule_base"] = restore_rule_base(config["rule_base"])
        # An empty scope would hide those that `load_model` was given.
        scope = contextlib.nullcontext()
        if custom_objects:
            scope = keras.saving.custom_object_scope(custom_objects)
        with arguments.restored(), scope:
            return super().from_config(config, custom_objects)

    def save_own_variables(self, store) -> None:
        """Writes the state; before the optimizer is built there is none."""
        values = self._loaded_state
        if self.built:
            values = {name: v.numpy() for name, v in self._variables_by_name().items()}
            values |= self._kept.saved(self._trainable_variables)
        if values:
            values = {**values, **self.statistics.saved()}
        saved_state.write_state(store, values, type(self).__name__)

    def load_own_variables(self, store) -> None:
        """Takes a state back; if the optimizer is not built yet, when it is.

        Without a state of this kind of optimizer it starts anew, with a warning.

        Raises:
            ValueError: if the state is damaged, not finite, of another version of the
                layout, or not that of an optimizer with these arguments and weights.
        """
        values = saved_state.read_state(store, type(self).__name__)
        if values is None:
            there = "that of another optimizer" if len(store.keys()) else "none"
            warnings.warn(
                f"The file has no state of {type(self).__name__} but {there}, so the "
                "optimizer starts anew. The weights are loaded.",
                stacklevel=2,
            )
        values, statistics = split(values or {}, moving_statistics.PREFIX)
        if not values:
            self.start_anew()
        elif self.built:
            self._assign_state(values)
        else:
            self._loaded_state = values
        self.statistics.load(statistics)

    def start_anew(self) -> None:
        """Forgets all but its arguments: the next step is a first one.

        Example:

        >>> from keras_fuzzyhess import FuzzyHess
        >>> w, optimizer = tf.Variable([1.0]), FuzzyHess()
        >>> loss = optimizer.minimize(lambda: tf.reduce_sum(w**2), [w])
        >>> optimizer.start_anew()
        >>> int(optimizer.iterations)
        0
        """
        self._loaded_state = {}
        self._kept.forget()
        self._ended_at = 0
        self.statistics.forget()
        if not self.built:
            return
        # Arguments stay, and random numbers, which need not come again.
        kept = [self._learning_rate, self.algorithm.controller.horizon]
        if self.algorithm.probes.draws_signs:
            kept.append(self._seed_generator.state)
        for variable in self.variables:
            if not any(variable is other for other in kept):
                first = self._first_values.get(id(variable), keras.initializers.Zeros())
                variable.assign(first(variable.shape, variable.dtype))
        averages = getattr(self, "_model_variables_moving_average", ())
        for weight, average in zip(self._trainable_variables, averages, strict=False):
            if average is not None:
                average.assign(weight)

    def _variables_by_name(self) -> dict[str, keras.Variable]:
        variables = self.variables
        names = [self._names.get(id(v), v.name) for v in variables]
        return dict(zip(saved_state.numbered(names), variables, strict=True))

    def take_back_build(self, variables: Sequence[keras.Variable]) -> None:
        """Back to before `build`, when there were only these variables."""
        kept = set(map(id, variables))
        for variable in self.variables:
            if id(variable) not in kept:
                self._untrack_variable(variable)
        for noted in (self._names, self._first_values):
            for key in noted.keys() - kept:
                del noted[key]
        self._trainable_variables: list[keras.Variable] = []
        self._trainable_variables_indices: dict[str, int] = {}
        self.built = False

    def take_loaded_state(self) -> None:
        """Takes the state that was loaded before the optimizer was built, if any."""
        if self._loaded_state:
            self._assign_state(self._loaded_state)
            self._loaded_state = {}
            if self._puts_back_when_built:
                self._puts_back_when_built = False
                with tf.init_scope():  # before the step that is being traced
                    self.put_weights_back()

    def _assign_state(self, values: Mapping[str, np.ndarray]) -> None:
        variables = self._variables_by_name()
        values, kept = split(values, kept_weights.PREFIX)
        saved_state.check_state_fits(values, variables)
        if self._averages_weights:
            self._average.trust_all()
        with tf.init_scope():  # not in the graph of a first step, if that builds it
            for name, variable in variables.items():
                variable.assign(values[name])
            step = int(self.iterations.numpy())
        self._kept.load(kept, self._trainable_variables, step)


_AT_START = {
    "step_length": 0.0,
    "gain": 1.0,
    "beta_3": 0.0,
    "loss_trend": 0.0,
    "loss_fall": 1.0,
    "progress": 0.0,
    "mean_curvature": 0.0,
    "probes": 0,
    "skipped_steps": 0,
    "skipped_in_a_row": 0,
    "dropped_probes": 0,
}
"""The diagnostics before the first step."""
