"""The optimizers, each as it is usually used on ImageNet.

FuzzyHess and SALO run untuned. The others follow the recipes that made them baselines:
a warm-up, a cosine to zero, and weight decay on kernels alone.
"""

import dataclasses

import keras

from keras_fuzzyhess import FuzzyHess

WARM_UP = 0.05
"""Share of the steps; in 100 epochs, the usual 5."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a recipe may depend on.

    Attributes:
        batch_size: Integer, over all replicas.
        steps: Integer, of the whole training.
        seed: Integer.
    """

    batch_size: int
    steps: int
    seed: int


LEARNING_RATES = {
    "fuzzyhess": lambda plan: 1.0,
    "salo": lambda plan: 0.3,
    "sgd": lambda plan: 0.1 * plan.batch_size / 256,
    "adam": lambda plan: 0.001,
    "adamw": lambda plan: 0.001,
}
"""For FuzzyHess a factor of the length that it measures; elsewhere the cosine's top.
SGD's grows with the minibatch (Goyal et al., 2017)."""

OPTIMIZERS = tuple(LEARNING_RATES)


def make_optimizer(
    name: str, plan: Plan, learning_rate: float | None = None
) -> keras.optimizers.Optimizer:
    """An optimizer for a training of `plan.steps` steps.

    - `fuzzyhess`: as it is; nothing is tuned or scheduled.
    - `salo`: as it is.
    - `sgd`: Nesterov's momentum 0.9; decoupled weight decay 0.0005, which with this
      momentum is an L2 penalty of 0.00005.
    - `adam`: as it is.
    - `adamw`: weight decay 0.05, gradients clipped to a global norm of 1.

    Args:
        name: One of `OPTIMIZERS`.
        plan: What is going to be trained.
        learning_rate: Float, in place of the recipe's.
    """
    if learning_rate is None:
        learning_rate = LEARNING_RATES[name](plan)
    if name == "fuzzyhess":
        return FuzzyHess(learning_rate, total_steps=plan.steps, seed=plan.seed)
    if name == "salo":
        return FuzzyHess.salo(learning_rate=learning_rate, total_steps=plan.steps)
    schedule = warm_up_and_cosine(learning_rate, plan.steps)
    if name == "adam":
        return keras.optimizers.Adam(schedule)
    if name == "sgd":
        optimizer = keras.optimizers.SGD(
            schedule, momentum=0.9, nesterov=True, weight_decay=0.0005
        )
    else:
        optimizer = keras.optimizers.AdamW(
            schedule, weight_decay=0.05, global_clipnorm=1.0
        )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def warm_up_and_cosine(learning_rate: float, steps: int):
    """From 0 to `learning_rate` in a twentieth of the steps, then by a cosine to 0."""
    warm_up = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
