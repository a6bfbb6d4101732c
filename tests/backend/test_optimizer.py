"""FuzzyHess under everything that calls an optimizer."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess, RuleBase
from keras_fuzzyhess.control.controller import Controller
from keras_fuzzyhess.direction import Diagonal
from keras_fuzzyhess.fuzzy import default_rule_base
from keras_fuzzyhess.measure.step_length import StepLength
from tests.helpers import networks
from tests.helpers.fast import first_fast
from tests.helpers.rule_bases import constant_surface
from tests.helpers.small_training import compiled, probes_in

DIAGNOSTICS = [
    "step_length",
    "gain",
    "beta_3",
    "loss_trend",
    "loss_fall",
    "progress",
    "mean_curvature",
    "probes",
    "skipped_steps",
    "skipped_in_a_row",
    "dropped_probes",
]


def held_gain():
    """The default rules, without a word on the gain."""
    rules = tuple(
        replace(rule, then=rule.consequent | {"gain_rate": "hold"})
        for rule in default_rule_base().rules
    )
    return replace(default_rule_base(), name="held", rules=rules)


@pytest.mark.slow
def test_hand_written_loop_with_two_optimizers():
    """A small generative adversarial network; both sides are traced in one step."""
    generator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(2)]
    )
    critic = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)]
    )
    # Neither side has a minimum to step to: each is always ahead of its average, and
    # the default rules would lengthen the steps without end.
    optimizers = [
        FuzzyHess(0.067, seed=i, rule_base=held_gain(), direction="orthogonal")
        for i in range(2)
    ]
    target = tf.constant([2.0, -1.0])

    def entropy(label, logit):
        return tf.reduce_mean(
            keras.losses.binary_crossentropy(
                tf.fill(tf.shape(logit), label), logit, from_logits=True
            )
        )

    @tf.function
    def step(noise, real):
        with tf.GradientTape() as tape_g, tf.GradientTape() as tape_c:
            fake = generator(noise)
            logit = critic(fake)
            loss_c = entropy(1.0, critic(real)) + entropy(0.0, logit)
            loss_g = entropy(1.0, logit)
            scaled_c = optimizers[1].scale_loss(loss_c)
            scaled_g = optimizers[0].scale_loss(loss_g)
        for optimizer, tape, loss, variables in (
            (optimizers[1], tape_c, scaled_c, critic.trainable_variables),
            (optimizers[0], tape_g, scaled_g, generator.trainable_variables),
        ):
            optimizer.apply_gradients(
                zip(tape.gradient(loss, variables), variables, strict=True)
            )
        return fake

    first = None
    for i in range(600):
        noise = tf.random.stateless_normal((64, 4), (i, 0))
        real = target + 0.3 * tf.random.stateless_normal((64, 2), (i, 1))
        fake = step(noise, real)
        first = fake if first is None else first
    distance = [np.linalg.norm(np.mean(f, 0) - target) for f in (first, fake)]
    assert distance[1] < 0.5 * distance[0]
    for optimizer in optimizers:
        assert optimizer.diagnostics["probes"] == probes_in(600, optimizer)
        assert optimizer.diagnostics["gain"] == pytest.approx(1.0)
        assert optimizer.diagnostics["mean_curvature"] > 0


def test_gradient_of_one_optimizer_is_measured_at_the_others_unshifted_weights():
    """The second optimizer of a step sees the weights that the first has updated."""
    w, other = tf.Variable([1.0]), tf.Variable([1.0])
    optimizers = FuzzyHess.salo(learning_rate=0.5), FuzzyHess.salo(learning_rate=0.5)

    @tf.function
    def step():
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_sum(w**2 * other**2)
            for optimizer in optimizers:
                optimizer.scale_loss(loss)
        for optimizer, variable in zip(optimizers, (w, other), strict=True):
            optimizer.apply([tape.gradient(loss, variable)], [variable])

    step()
    # Both Hessians are 2 at (1, 1): had the replay for `other` read the moved `w`, its
    # difference quotient would be far from it.
    assert optimizers[0].diagnostics["mean_curvature"] == pytest.approx(2.0, rel=1e-3)
    assert optimizers[1].diagnostics["mean_curvature"] == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_steps_are_the_formula(power):
    """On a quadratic with a diagonal Hessian a probe measures it exactly."""
    start, hessian = np.array([1.0, -2.0, 0.5]), np.array([1.0, 10.0, 0.3])
    w = tf.Variable(start)
    optimizer = FuzzyHess(0.5, seed=0, curvature_power=power)

    expected, m, v = start.copy(), np.zeros(3), np.zeros(3)
    for step in range(1, 16):
        optimizer.minimize(lambda: tf.reduce_sum(hessian * w**2) / 2, [w])
        gradient = hessian * expected
        m, v = 0.9 * m + 0.1 * gradient, 0.9 * v + 0.1 * gradient**2
        scale = np.sqrt(v / (1 - 0.9**step))
        newton = scale.mean() * (hessian / hessian.mean() + Diagonal().damping)
        if not power:
            scale += Diagonal().floor * scale.mean()
        momentum = 0.8 * m / (1 - 0.9**step) + 0.2 * gradient
        u = momentum / (newton**power * scale ** (1 - power))
        bound = Diagonal().clip_factor * np.sqrt(np.mean(u**2))
        length = StepLength.share * np.sqrt(np.mean(start**2))
        gain = optimizer.diagnostics["gain"]
        expected -= 0.5 * gain * length * np.clip(u, -bound, bound)
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4)
    assert optimizer.diagnostics["step_length"] == pytest.approx(length)
    measured = hessian.mean() if power else 0.0  # without a use for it none is probed
    assert optimizer.diagnostics["mean_curvature"] == pytest.approx(measured)
    assert gain != 1.0


def test_a_gradient_much_larger_than_all_before_takes_a_bounded_step():
    """Small steps, for gradients differ in sign; then one of a thousand times."""
    rng = np.random.default_rng(0)
    gradients = rng.choice([-1.0, 1.0], (41, 50))
    gradients[-1] *= 1000.0
    w, gradient = tf.Variable(np.ones(50)), tf.Variable(gradients[0])
    optimizer = FuzzyHess(seed=0, curvature_power=0.0, rule_base=held_gain())

    m, v, usual = np.zeros(50), np.zeros(50), 0.0
    for step, values in enumerate(gradients, 1):
        before = w.numpy()
        gradient.assign(values)
        optimizer.minimize(lambda: tf.reduce_sum(gradient * w + 0.0 * w**2), [w])
        m, v = 0.9 * m + 0.1 * values, 0.9 * v + 0.1 * values**2
        momentum = 0.8 * m / (1 - 0.9**step) + 0.2 * values
        scale = np.sqrt(v / (1 - 0.9**step))
        u = momentum / (scale + Diagonal().floor * scale.mean())
        size = np.sqrt(np.mean(u**2))
        usual = usual or size
        bounded = min(size, StepLength.largest_growth * usual)
        usual += StepLength.size_rate * (bounded - usual)
        taken = np.sqrt(np.mean((w.numpy() - before) ** 2)) / StepLength.share
        assert taken == pytest.approx(bounded, rel=1e-3)
    assert size > 1.5 * bounded, "the last one would have been longer"


def test_signs_differ_between_steps_and_continue_after_reload(tmp_path):
    """The seed state moves with each probe, and only then, and is saved."""
    states = []
    model = compiled(FuzzyHess(seed=3, direction="diagonal"))
    x, y = networks.data(model)
    for _ in range(12):
        model.train_on_batch(x, y)
        states.append(tuple(model.optimizer._seed_generator.state.numpy()))
    assert len(set(states)) == model.optimizer.diagnostics["probes"] > 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert tuple(loaded.optimizer._seed_generator.state.numpy()) == states[-1]


@first_fast(jit_compile=[False, True])
def test_signs_differ_in_a_compiled_fit(jit_compile):
    class Spy(FuzzyHess):
        def build(self, variables):
            super().build(variables)
            count = sum(np.prod(v.shape, dtype=int) for v in variables)
            self.seen = self.add_variable((4, count), name="seen")

        def _shifts(self, gradients, variables):
            shifts = super()._shifts(gradients, variables)
            row = tf.cast(self._probes.value, tf.int32)[None, None]
            self.seen.assign(
                tf.tensor_scatter_nd_update(self.seen.value, row, shifts[0][None])
            )
            return shifts

    model = networks.dense()
    # Every step has a probe.
    optimizer = Spy(seed=0, probe_interval=2, direction="diagonal")
    model.compile(optimizer, networks.cross_entropy, jit_compile=jit_compile)
    x, y = networks.data(model, batches=4)
    model.fit(x, y, batch_size=networks.BATCH, shuffle=False, verbose=0)
    shifts = optimizer.seen.numpy()
    for probe in (0, 3):  # curvature probes
        np.testing.assert_allclose(np.abs(shifts[probe]), 0.01, rtol=1e-6)
    agreement = np.mean(np.sign(shifts[0]) == np.sign(shifts[3]))
    assert 0.2 < agreement < 0.8


def test_weight_decay_takes_no_more_than_the_weight():
    idle, w = tf.Variable([2.0]), tf.Variable([3.0] * 4)
    optimizer = FuzzyHess(seed=0, weight_decay=1e12)
    optimizer.exclude_from_weight_decay(var_list=[w])
    optimizer.minimize(lambda: tf.reduce_sum(w**2) + 0.0 * idle[0], [w, idle])
    assert float(idle[0]) == 0.0


def test_refuses_weights_without_an_element():
    empty = tf.Variable(tf.zeros((0, 3)), name="empty")
    with pytest.raises(ValueError, match=r"element.*empty.*\(0, 3\)"):
        FuzzyHess().build([empty])
    FuzzyHess().build([empty, tf.Variable([1.0])])


def test_missing_gradients_are_left_out():
    w, unused = tf.Variable([3.0]), tf.Variable([2.0])
    optimizer = FuzzyHess(seed=0)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        for _ in range(3):
            optimizer.minimize(lambda: tf.reduce_sum(w**2), [w, unused])
    assert float(w[0]) < 3.0
    assert float(unused[0]) == 2.0


def test_diagnostics_have_the_documented_names():
    for optimizer in (FuzzyHess(), FuzzyHess.salo()):
        assert list(optimizer.diagnostics) == DIAGNOSTICS
        model = compiled(optimizer)
        x, y = networks.data(model)
        model.fit(x, y, verbose=0)
        assert list(optimizer.diagnostics) == DIAGNOSTICS
        assert all(isinstance(v, float | int) for v in optimizer.diagnostics.values())


def test_salo_is_the_paper_mode():
    assert isinstance(FuzzyHess.salo(), SALO)
    assert FuzzyHess.salo(learning_rate=0.25).learning_rate == 0.25


@pytest.mark.slow
def test_rule_base_decides(tmp_path):
    """A base that only lowers the gain, one that only raises it, from file or not."""

    gains = []
    for rate in (-0.03, 0.03):
        model = compiled(FuzzyHess(seed=0, rule_base=constant_surface(rate)))
        x, y = networks.data(model)
        model.fit(x, y, epochs=20, verbose=0)
        gains.append(model.optimizer.diagnostics["gain"])
    travelled = sum(0.03 / (1 + step / Controller.slowing) for step in range(20))
    np.testing.assert_allclose(gains, np.exp([-travelled, travelled]), rtol=1e-4)

    default_rule_base().save(tmp_path / "rules.json")
    from_file = FuzzyHess(rule_base=str(tmp_path / "rules.json"))
    assert from_file.get_config()["rule_base"] == FuzzyHess().get_config()["rule_base"]
    assert RuleBase.load(tmp_path / "rules.json") == default_rule_base()
