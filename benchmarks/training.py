"""Trainings of one network with one optimizer, traced once for all of them."""

import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from benchmarks.hessian_peers import HessianOptimizer
from benchmarks.workload import Workload
from keras_fuzzyhess.measure.curvature import hessian_vector_product

EVALUATIONS = 20
"""How often the training loss is evaluated on the way."""

SAMPLE = 1024
"""Examples on which it is evaluated, of those trained on and of those held back."""

WARM_UP = 0.05
"""Share of a budget in which the learning rate grows, where there is a warm-up."""

AVERAGING = 20.0
"""After `t` steps, weights are averaged over about the last `t / AVERAGING`, as
FuzzyHess does it."""


def scheduled(schedule: str, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What the learning rate of each step is multiplied by.

    A cosine falls to 0 with the budget. With a warm-up it is multiplied by a ramp over
    the first `WARM_UP` of the budget.

    Args:
        schedule: "constant", "cosine" or "warm-up, cosine".
        before: Share of the budget that is taken before each step.
        after: The same after it, so that no first step has a rate of 0.

    Example:

    >>> scheduled("warm-up, cosine", np.array([0.0, 0.5]), np.array([0.01, 0.51]))
    array([0.2, 0.5])
    """
    if schedule == "constant":
        return np.ones_like(before)
    cosine = 0.5 + 0.5 * np.cos(np.pi * np.minimum(before, 1.0))
    if schedule == "cosine":
        return cosine
    return cosine * np.minimum(after / WARM_UP, 1.0)


class Training:
    """Trains a workload with an optimizer, again and again from new initial weights.

    Beside the weights it keeps their moving average, of every optimizer alike, which
    no training sees: what averaging would have brought is thereby known for each.

    Args:
        workload: The `Workload`.
        make_optimizer: Callable that returns the optimizer.
    """

    def __init__(
        self, workload: Workload, make_optimizer: Callable[[], keras.Optimizer]
    ) -> None:
        self.workload = workload
        data = workload.load()
        self._data = tf.constant(data.x), tf.constant(data.y)
        self._sample = tuple(a[:SAMPLE] for a in self._data)
        self._held_back = data.x_held_back[:SAMPLE], data.y_held_back[:SAMPLE]
        self.model = workload.build()
        self.optimizer = make_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self._initial_state = [v.numpy() for v in self.optimizer.variables]
        self._averages = [tf.Variable(v) for v in self.model.trainable_variables]
        self._step = tf.Variable(0.0)

    def run(
        self,
        learning_rate: float,
        schedule: str,
        seed: int,
        gradients: int,
        overtime: float = 1.0,
    ) -> dict:
        """One training.

        Args:
            learning_rate: The optimizer's.
            schedule: "constant"; "cosine", to zero over the budget; or "warm-up,
                cosine", see `scheduled`.
            seed: Seed of initial weights, order of minibatches and noise.
            gradients: Budget in gradient evaluations. Ends earlier when the loss is
                no longer finite, or every minibatch is skipped for not being so.
            overtime: For how many budgets the training goes on. What is held back is
                evaluated after one.

        Returns:
            A dictionary of plain numbers and lists.
        """
        self._restart(seed)
        batches = self.batches(seed)
        curve: list[dict] = []
        seconds, cost = 0.0, 1.0
        held_back: dict = {}
        for evaluation in range(1, round(overtime * EVALUATIONS) + 1):
            target = evaluation * gradients / EVALUATIONS
            taken, steps_before = self.gradient_evaluations(), self._steps()
            # Probes are not evenly spread: what a step costs is known from the last.
            steps = max(1, round((target - taken) / cost))
            before = (taken + cost * np.arange(steps)) / gradients
            factors = scheduled(schedule, before, before + cost / gradients)
            rates = (learning_rate * factors).astype("float32")
            indices = np.stack([next(batches) for _ in range(steps)])
            start = time.perf_counter()
            self.train(indices, rates)
            seconds += time.perf_counter() - start
            steps_taken = self._steps() - steps_before
            if steps_taken:
                cost = (self.gradient_evaluations() - taken) / steps_taken
            curve.append(
                {
                    "gradients": self.gradient_evaluations(),
                    "loss": float(self._loss(*self._sample)),
                    "averaged_loss": self._of_averages(
                        lambda: float(self._loss(*self._sample))
                    ),
                }
            )
            diverged = not steps_taken or not np.isfinite(curve[-1]["loss"])
            if evaluation == EVALUATIONS or diverged:
                held_back = {
                    "held_back": self._evaluate_held_back(),
                    "averaged_held_back": self._of_averages(self._evaluate_held_back),
                }
            if diverged:
                break
        return {
            "curve": {key: [point[key] for point in curve] for key in curve[0]},
            **held_back,
            "averaging": AVERAGING,
            "seconds": seconds,
        }

    def gradient_evaluations(self) -> int:
        """Gradients taken so far, probes counted."""
        extra = getattr(self.optimizer, "extra_gradient_evaluations", None)
        if extra is None and hasattr(self.optimizer, "diagnostics"):
            extra = self.optimizer.diagnostics["probes"]
        return self._steps() + int(extra or 0)

    def _steps(self) -> int:
        return int(self.optimizer.iterations.numpy())

    def _restart(self, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        fresh = self.workload.build()
        for variable, new in zip(self.model.variables, fresh.variables, strict=True):
            variable.assign(new)
        for variable, value in zip(
            self.optimizer.variables, self._initial_state, strict=True
        ):
            is_signs = variable.name == "seed_generator_state"
            variable.assign([seed, 0] if is_signs else value)
        # A training that diverged leaves averages that no rate makes finite again.
        for average, variable in zip(
            self._averages, self.model.trainable_variables, strict=True
        ):
            average.assign(variable)
        self._step.assign(0.0)

    def batches(self, seed: int) -> Iterator[np.ndarray]:
        """Indices of minibatches without end, in an order of the seed's own."""
        random = np.random.default_rng(seed)
        count, size = len(self._data[0]), self.workload.batch_size
        while True:
            order = random.permutation(count)
            yield from order[: count // size * size].reshape(-1, size)

    @tf.function
    def _loss(self, x, y):
        return self._objective(x, y, training=False)

    def _objective(self, x, y, training):
        loss = self.workload.loss(y, self.model(x, training=training))
        return tf.add_n([loss, *self.model.losses])

    # Without AutoGraph, which warns of its own syntax trees on Python 3.13.
    @tf.function(reduce_retracing=True, autograph=False)
    def train(self, indices, rates):
        """Steps on minibatches by their indices, each with its learning rate."""

        def step(i):
            x, y = (tf.gather(a, indices[i]) for a in self._data)
            self._train_step(x, y, rates[i])
            return (i + 1,)

        tf.while_loop(lambda i: i < tf.shape(rates)[0], step, (0,))

    def _train_step(self, x, y, learning_rate):
        self.optimizer.learning_rate = learning_rate
        with tf.GradientTape() as tape:
            loss = self._objective(x, y, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.model.trainable_variables
        if isinstance(self.optimizer, HessianOptimizer):
            tf.cond(
                self.optimizer.hessian_due(),
                lambda: self._sample_hessian(x, y),
                lambda: tf.constant(True),
            )
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        rate = AVERAGING / (AVERAGING + tf.maximum(self._step - 1.0, 0.0))
        self._step.assign_add(1.0)
        for average, variable in zip(self._averages, variables, strict=True):
            average.assign_add(rate * (variable.value - average))

    def _sample_hessian(self, x, y):
        variables = self.model.trainable_variables
        signs = [tf.sign(tf.random.uniform(v.shape, -1, 1)) for v in variables]
        products = hessian_vector_product(
            lambda: self._objective(x, y, training=True), variables, signs
        )
        self.optimizer.observe_hessian(
            [z * product for z, product in zip(signs, products, strict=True)]
        )
        return tf.constant(True)

    def _of_averages(self, measure: Callable):
        """What `measure` gives with the averaged weights in the network."""
        kept = [v.numpy() for v in self.model.trainable_variables]
        pairs = list(zip(self.model.trainable_variables, kept, strict=True))
        for average, (variable, _) in zip(self._averages, pairs, strict=True):
            variable.assign(average)
        try:
            return measure()
        finally:
            for variable, value in pairs:
                variable.assign(value)

    def _evaluate_held_back(self) -> dict[str, float]:
        x, y = self._held_back
        result = {"loss": float(self._loss(x, y))}
        if self.workload.classifies:
            predicted = np.argmax(self.model.predict_on_batch(x), axis=-1)
            result["accuracy"] = float(np.mean(predicted == y))
        return result
