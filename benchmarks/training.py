"""Trainings of one network with one optimizer, traced once for all of them."""

import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from benchmarks.workload import Workload

EVALUATIONS = 20
"""How often the training loss is evaluated on the way."""

SAMPLE = 1024
"""Examples on which it is evaluated, of those trained on and of those held back."""

AVERAGING = 10.0
"""After `t` steps, weights are averaged over about the last `t / AVERAGING`."""


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
        self, learning_rate: float, schedule: str, seed: int, gradients: int
    ) -> dict:
        """One training.

        Args:
            learning_rate: The optimizer's.
            schedule: "constant", or "cosine" to zero over the budget.
            seed: Seed of initial weights, order of minibatches and noise.
            gradients: Budget in gradient evaluations. Ends earlier when the loss is
                no longer finite.

        Returns:
            A dictionary of plain numbers and lists.
        """
        self._restart(seed)
        batches = self._batches(seed)
        steps = self.optimizer_steps(gradients)
        curve: list[dict] = []
        seconds = 0.0
        for block in np.array_split(np.arange(steps), EVALUATIONS):
            rates = np.full(len(block), learning_rate, "float32")
            if schedule == "cosine":
                rates *= 0.5 + 0.5 * np.cos(np.pi * block / steps)
            indices = np.stack([next(batches) for _ in block])
            start = time.perf_counter()
            self._train(indices, rates)
            seconds += time.perf_counter() - start
            curve.append(
                {
                    "gradients": self.gradient_evaluations(),
                    "loss": float(self._loss(*self._sample)),
                    "averaged_loss": self._of_averages(
                        lambda: float(self._loss(*self._sample))
                    ),
                }
            )
            if not np.isfinite(curve[-1]["loss"]):
                break
        return {
            "curve": {key: [point[key] for point in curve] for key in curve[0]},
            "held_back": self._evaluate_held_back(),
            "averaged_held_back": self._of_averages(self._evaluate_held_back),
            "seconds": seconds,
        }

    def gradient_evaluations(self) -> int:
        """Gradients taken so far, probes counted."""
        extra = getattr(self.optimizer, "extra_gradient_evaluations", None)
        if extra is None and hasattr(self.optimizer, "diagnostics"):
            extra = self.optimizer.diagnostics["probes"]
        return int(self.optimizer.iterations.numpy()) + int(extra or 0)

    def optimizer_steps(self, gradients: int) -> int:
        """How many steps the optimizer can take with so many gradients."""
        cost = getattr(self.optimizer, "gradients_per_step", None)
        if cost is None and hasattr(self.optimizer, "diagnostics"):
            interval = getattr(self.optimizer, "probe_interval", 1)
            cost = 2.0 if interval == 1 else 1 + 2 / interval
        return int(gradients / (cost or 1.0))

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
        self._step.assign(0.0)

    def _batches(self, seed: int) -> Iterator[np.ndarray]:
        random = np.random.default_rng(seed)
        count, size = len(self._data[0]), self.workload.batch_size
        while True:
            order = random.permutation(count)
            yield from order[: count // size * size].reshape(-1, size)

    def _loss(self, x, y) -> tf.Tensor:
        return self._traced_loss(x, y)

    @tf.function
    def _traced_loss(self, x, y):
        return self._objective(x, y, training=False)

    def _objective(self, x, y, training):
        loss = self.workload.loss(y, self.model(x, training=training))
        return tf.add_n([loss, *self.model.losses])

    @tf.function(reduce_retracing=True)
    def _train(self, indices, rates):
        for i in tf.range(tf.shape(rates)[0]):
            x, y = (tf.gather(a, indices[i]) for a in self._data)
            self.optimizer.learning_rate = rates[i]
            with tf.GradientTape() as tape:
                loss = self._objective(x, y, training=True)
                scaled = self.optimizer.scale_loss(loss)
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
            self._step.assign_add(1.0)
            rate = AVERAGING / (AVERAGING - 1 + self._step)
            for average, variable in zip(self._averages, variables, strict=True):
                average.assign_add(rate * (variable.value - average))

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
