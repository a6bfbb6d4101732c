"""A loss that stays a hundredfold over its level brings a warning, and others none."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, AveragesInValidation, FuzzyHess, FuzzyHessMonitor
from keras_fuzzyhess.backend.divergence import PATIENCE, Divergence
from tests.helpers.fast import first_fast

BATCH = 4
RNG = np.random.default_rng(0)
HIGH = 100.0  # of targets: the loss is 10,000 times as large


def compiled(optimizer=None, loss="mse", **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    arguments = {"jit_compile": False} | kwargs
    model.compile(optimizer or FuzzyHess(seed=0), loss, **arguments)
    return model


def fit(model, scales, weights=None, **kwargs):
    """One step for each scale, on targets that nobody can learn."""
    count = BATCH * len(scales)
    x = RNG.normal(size=(count, 3)).astype("float32")
    y = np.repeat(scales, BATCH) * RNG.choice([-1.0, 1.0], count)
    if weights is not None:
        kwargs["sample_weight"] = np.repeat(weights, BATCH)
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(x, y.astype("float32"), **arguments)


def low(steps):
    return [1.0] * steps


def high(steps):
    return [HIGH] * steps


def warns(match="times its level"):
    return pytest.warns(UserWarning, match=match)


@pytest.mark.parametrize("make", [lambda: FuzzyHess(seed=0), SALO])
def test_fit_warns_once_at_its_end(make):
    model = compiled(make())
    rate = float(model.optimizer.learning_rate)
    remedy = f"`learning_rate` from {rate:g} to {rate / 4:g}, .*global_clipnorm"
    with warns(f"(?s)Received: one of .*{remedy}"):
        fit(model, low(20) + high(PATIENCE))
    fit(model, high(2 * PATIENCE))
    fit(model, low(20) + [HIGH**2] * PATIENCE)


def test_it_says_how_high_the_loss_is():
    model = compiled()
    with warns() as told:
        fit(model, low(20) + high(PATIENCE))
    text = str(told[0].message)
    loss = float(text.split("one of ")[1].split()[0])
    level = float(text.split("level of ")[1].split(". ")[0])
    assert 0.2 * HIGH**2 < loss < 2 * HIGH**2
    assert 0.5 < level < 5


def test_a_loss_that_a_huge_learning_rate_has_driven_up_is_told():
    """It is large from the second step on, and the rules take long to mend it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        FuzzyHess(1e4, seed=0, direction="orthogonal"), "mse", jit_compile=False
    )
    with warns("`learning_rate` from 10000 to 2500"):
        fit(model, low(3 * PATIENCE))


def test_it_waits_a_hundred_steps_which_fits_may_share():
    """A loss that is high when a training ends is still measured by what was before."""
    model = compiled()
    fit(model, low(20) + high(PATIENCE - 1))
    with warns():
        fit(model, high(1))


def test_spikes_are_silent():
    model = compiled()
    fit(model, low(20) + high(50) + low(60) + high(50) + low(10) + high(40))


def test_the_loss_need_not_be_high_without_a_break():
    """Adversaries take turns."""
    model = compiled()
    turns = (high(8) + low(2)) * 20
    with warns():
        fit(model, low(20) + turns)


def test_a_training_on_other_data_may_have_a_larger_loss():
    model = compiled()
    fit(model, low(120))
    fit(model, [30.0] * 120)
    fit(model, [900.0] * 120)


@pytest.mark.parametrize("weight", [0.0, 1e-9])
def test_a_loss_may_begin_at_zero_or_nearly(weight):
    model = compiled()
    fit(model, low(170), weights=[weight] * 30 + [1.0] * 140)


def test_a_loss_of_zero_first_is_measured_by_the_first_that_is_not():
    model = compiled()
    weights = [0.0] * 30 + [1.0] * (20 + PATIENCE)
    fit(model, [30.0] * len(weights), weights=weights)
    with warns():
        fit(
            compiled(),
            [30.0] * 50 + [3000.0] * PATIENCE,
            weights=weights,
        )


def test_a_loss_that_has_come_down_to_nearly_nothing_may_move_there():
    """A hundredfold, but below where it began."""
    model = compiled()
    weights = [1.0] * 5 + [1e-6] * 8 + [1e-3] * 150
    model.optimizer.build(model.trainable_variables)
    fit(model, low(len(weights)), weights=weights)


def squares_and_offset(y, predicted):
    """Of any sign: a fit of the targets' signs, and the targets on top."""
    return tf.reduce_mean((predicted - tf.sign(y)) ** 2 + y, axis=-1)


def fit_offsets(model, offsets):
    count = BATCH * len(offsets)
    x = RNG.normal(size=(count, 3)).astype("float32")
    y = np.repeat(np.float32(offsets), BATCH)[:, None]
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def test_a_loss_may_change_sign_and_fall_without_end():
    model = compiled(loss=squares_and_offset)
    steps = np.arange(300)
    fit_offsets(model, 3 * np.sin(steps / 7))
    fit_offsets(model, -np.minimum(1.02**steps, 1e5))


def test_a_loss_of_either_sign_may_diverge():
    model = compiled(loss=squares_and_offset)
    offsets = [*(3 * np.sin(np.arange(100))), *[2000.0] * PATIENCE]
    with warns():
        fit_offsets(model, offsets)


def test_skipped_steps_do_not_count():
    model = compiled()
    with pytest.warns(UserWarning, match="in a row") as told:
        fit(model, low(20) + high(PATIENCE - 10) + [np.nan] * 20)
    assert len(told) == 1
    with warns():
        fit(model, high(10))


def test_with_accumulation_a_hundred_steps_have_more_minibatches():
    model = compiled(FuzzyHess(seed=0, gradient_accumulation_steps=2))
    fit(model, low(20) + high(2 * PATIENCE - 1))
    with warns():
        fit(model, high(1))


@pytest.mark.slow
def test_xla_tells_it():
    with warns():
        fit(compiled(jit_compile=True), low(20) + high(PATIENCE))


@first_fast(policy=["mixed_float16", "mixed_bfloat16", "float64"])
def test_the_level_is_that_of_losses_that_are_not_scaled(policy):
    keras.config.set_dtype_policy(policy)
    optimizer = FuzzyHess(seed=0)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model = compiled(optimizer)
    with warns(r"level of [0-9]\."):
        fit(model, low(20) + [40.0] * (PATIENCE + 10))


def test_loss_scale_factor_does_not_matter():
    model = compiled(FuzzyHess(seed=0, loss_scale_factor=1024.0))
    with warns(r"level of [0-9]\."):
        fit(model, low(20) + high(PATIENCE))


def test_replicas_agree(two_replicas):
    with two_replicas.scope():
        model = compiled()
    fit(model, low(20) + high(PATIENCE - 1))
    first, second = model.optimizer._divergence._losses.value.values
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    with warns():
        fit(model, high(1))


def test_minimize_warns_in_the_step():
    w, optimizer = tf.Variable([3.0, -1.0]), FuzzyHess(seed=0)

    def steps(number, offset):
        for _ in range(number):
            optimizer.minimize(lambda: tf.reduce_sum(w**2) + offset, [w])

    steps(5, 0.0)
    steps(PATIENCE - 1, 2000.0)
    with warns():
        steps(1, 2000.0)
    steps(2, 2000.0)
    optimizer.start_anew()
    steps(PATIENCE + 5, 2000.0)
    with warns("one of 9e"):
        steps(PATIENCE, 9e5)


def test_eager_gradients_without_a_loss_are_silent():
    w, optimizer = tf.Variable([3.0]), FuzzyHess(seed=0)
    with pytest.warns(UserWarning, match="eager code"):
        optimizer.apply([w * 2], [w])
    for _ in range(PATIENCE + 5):
        optimizer.apply([w * 2], [w])
    optimizer.warn_of_divergence()


def test_a_saved_training_goes_on_counting(tmp_path):
    model = compiled()
    fit(model, low(20) + high(60))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    before, after = (m.optimizer._divergence._losses for m in (model, again))
    again.optimizer.build(again.trainable_variables)
    np.testing.assert_array_equal(before.numpy(), after.numpy())
    fit(again, high(PATIENCE - 61))
    with warns():
        fit(again, high(1))
    again.save(tmp_path / "told.keras")
    fit(keras.saving.load_model(tmp_path / "told.keras"), high(PATIENCE))


def told_at_epochs(model, callback, **kwargs):
    """How many warnings there were after each epoch; the second one diverges."""
    seen = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        look = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(
                len([w for w in caught if "times its level" in str(w.message)])
            )
        )
        fit(model, low(10) + high(60), epochs=3, callbacks=[callback, look])
    return seen


@pytest.mark.parametrize("callback", [FuzzyHessMonitor, AveragesInValidation])
def test_a_callback_tells_it_after_the_epoch(callback):
    assert told_at_epochs(compiled(), callback()) == [0, 1, 1]


class WithOwnOptimizer(keras.Model):
    """Which `fit` does not know, as those of adversaries."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(1)
        self.own = FuzzyHess(seed=0, use_ema=False)

    def call(self, x):
        return self.layer(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.own.scale_loss(tf.reduce_mean((y[:, None] - self(x)) ** 2))
        variables = self.layer.trainable_variables
        self.own.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


def test_averages_in_validation_tells_it_of_an_optimizer_that_fit_does_not_know():
    keras.utils.set_random_seed(0)
    model = WithOwnOptimizer()
    model.compile("sgd", jit_compile=False)
    assert told_at_epochs(model, AveragesInValidation()) == [0, 1, 1]


def test_a_training_that_ends_in_a_function_is_told_later():
    model = compiled()
    optimizer = model.optimizer
    x, y = tf.ones((4, 3)), tf.ones((4, 1))

    @tf.function
    def step(scale):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean((model(x) - y) ** 2) + scale)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    for scale in [1.0] * 5 + [900.0] * PATIENCE:
        step(tf.constant(scale))
    end = tf.function(
        lambda: optimizer.finalize_variable_values(model.trainable_variables)
    )
    end()
    with warns():
        optimizer.warn_of_divergence()


def watched(losses, minibatches=1):
    """What is told of losses that need no training."""
    divergence = Divergence(
        lambda shape, dtype, name: keras.Variable(
            np.zeros(shape), dtype=dtype if dtype != "int" else "int32", name=name
        ),
        minibatches,
    )
    watch = tf.function(divergence.watch)
    for loss in losses:
        watch(tf.constant(loss, tf.float32))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        divergence.warn("FuzzyHess", 1.0)
        divergence.warn("FuzzyHess", 1.0)
    return len(caught)


DRAWN = np.random.default_rng(1)
SIGNED = DRAWN.normal(size=3000)
SILENT = {
    "falls and stays": 2.3 * 0.99 ** np.arange(2000),
    "falls, is nothing, and moves there": [2.3] * 9 + [1e-9] * 9000 + [1e-3] * 999,
    "rises for long": 1.0 + np.arange(9000) / 100,
    "minibatches of one": DRAWN.lognormal(sigma=4.0, size=5000),
    "one in five stands out": np.where(DRAWN.random(9000) < 0.2, 9.0, 1e-3),
    "noise of any sign": SIGNED,
    "of no mean, then of some": np.concatenate([[0.002], 5 + SIGNED]),
    "evidence lower bound": 700 - 3000 * (1 - 0.995 ** np.arange(3000)),
    "never but zero": np.zeros(500),
    "the largest numbers": [3e38] * 300,
    "the largest and smallest": [1e-45, 3e38] * 300,
}
TOLD = {
    "in one step": [2.3] * 9 + [1e6] * 100,
    "by and by": 2.3 * 1.05 ** np.arange(600),
    "in thousands of steps": 2.3 * 1.003 ** np.arange(3000),
    "after it was nothing": [2.3] * 9 + [1e-9] * 5000 + [3.0] * 100,
    "of either sign": np.concatenate([SIGNED, [300.0] * 100]),
    "from far below zero": [-3.0] * 99 + [900.0] * 100,
    "in turns": [1.0] * 9 + [1e5, 1e5, 1.0] * 100,
    "and comes back": [2.3] * 9 + [1e6] * 100 + [2.3] * 5000,
}


@pytest.mark.parametrize("losses", SILENT.values(), ids=SILENT)
def test_it_is_silent(losses):
    assert watched(losses) == 0


@pytest.mark.parametrize("losses", TOLD.values(), ids=TOLD)
def test_it_is_told_once(losses):
    assert watched(losses) == 1
    assert watched(np.repeat(losses, 3), minibatches=3) == 1
