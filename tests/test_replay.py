"""The replay against the closure form, and what it refuses.

Errors are relative to the *change* of the gradient, which is what FuzzyHess measures
(relative to the gradient itself they would look about a hundred times smaller).
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops.cond_v2 import get_func_graphs

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.closure import ClosureGradients
from keras_fuzzyhess.packing import Packing
from keras_fuzzyhess.replay import GradientReplay
from keras_fuzzyhess.second_gradient import SecondGradientOptimizer
from tests import networks

FLOAT32_TOLERANCE = 1e-4


def replayed(model, x, y, shifts, jit_compile=False, lazily=False):
    """Gradients, replayed gradients and replayed loss, in one traced step."""
    variables = networks.weights(model)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(x, y, is_due):
        with tf.GradientTape() as tape:
            loss = networks.cross_entropy(y, model(x, training=True))
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        replay = GradientReplay(gradients, loss, variables)
        if lazily:
            return gradients, tf.cond(
                is_due, lambda: replay(shifts), lambda: (gradients, loss)
            )
        return gradients, replay(shifts)

    gradients, (shifted, loss) = step(tf.constant(x), tf.constant(y), tf.constant(True))
    return gradients, shifted, loss


def closure_form(model, x, y, shifts, jit_compile=False):
    """The reference: the loss function called again at shifted weights."""
    x, y = tf.constant(x), tf.constant(y)
    closure = ClosureGradients(
        lambda: networks.cross_entropy(y, model(x, training=True)),
        networks.weights(model),
    )
    return tf.function(lambda: closure(shifts), jit_compile=jit_compile)()


@pytest.mark.parametrize("lazily", [False, True], ids=["always", "in_branch"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("name", networks.ALL)
def test_equals_closure_form(name, jit_compile, lazily):
    model = networks.ALL[name]()
    x, y = networks.data(model)
    shifts = networks.random_shifts(model)
    reference, reference_loss = closure_form(model, x, y, shifts, jit_compile)
    before = [v.numpy() for v in model.trainable_variables]

    gradients, shifted, loss = replayed(model, x, y, shifts, jit_compile, lazily)

    error = networks.relative_error(shifted, reference, origin=gradients)
    assert error <= FLOAT32_TOLERANCE
    np.testing.assert_allclose(loss, reference_loss, rtol=1e-5)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


class Recorder(SecondGradientOptimizer):
    """Sums the gradients at shifted weights over all steps, and moves nothing."""

    def __init__(self, shifts, **kwargs):
        super().__init__(learning_rate=1.0, **kwargs)
        self._shifts = shifts

    def build(self, variables):
        super().build(variables)
        self.sums = self.add_optimizer_variables(variables, "sum")

    def is_probe_step(self):
        return tf.greater_equal(self.iterations.value, 0)

    def shifts(self, gradients, variables):
        return Packing(variables).pack(self._shifts)

    def observe(self, probe, variables):
        shifted = Packing(variables).unpack(probe.shifted_gradients)
        for total, gradient in zip(self.sums, shifted, strict=True):
            total.assign_add(gradient)

    def displacements(self, gradients, variables, learning_rate):
        return [tf.zeros_like(g) for g in gradients]


def branches(graph):
    """All `tf.cond` of a graph, those inside others as well."""
    for op in graph.get_operations():
        if op.type in ("If", "StatelessIf"):
            yield op
            for inner in get_func_graphs(op):
                yield from branches(inner)


@pytest.mark.parametrize("optimizer", [FuzzyHess, FuzzyHess.salo])
@pytest.mark.parametrize("name", ["dense", "lstm"])
def test_what_follows_a_step_sees_its_weights(name, optimizer):
    """A weight must enter a branch once only: see `GradientReplay._resources_in`."""
    model, optimizer = networks.ALL[name](), optimizer()
    x, y = networks.data(model)
    seen = [tf.Variable(v) for v in networks.weights(model)]
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(networks.cross_entropy(y, model(x)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        for copy, variable in zip(seen, networks.weights(model), strict=True):
            copy.assign(variable.read_value())

    for _ in range(3):
        step()
        for copy, variable in zip(seen, networks.weights(model), strict=True):
            np.testing.assert_array_equal(copy.numpy(), variable.numpy())
    found = list(branches(step.get_concrete_function().graph))
    assert len(found) >= 2
    for branch in found:
        resources = [t.ref() for t in branch.inputs if t.dtype == tf.resource]
        assert len(resources) == len(set(resources)), branch.name


@pytest.mark.parametrize("name", networks.ALL)
def test_equals_closure_form_with_steps_per_execution(name):
    model = networks.ALL[name]()
    x, y = networks.data(model, batches=4)
    shifts = networks.random_shifts(model)
    variables = networks.weights(model)
    initial = [v.numpy() for v in model.variables]

    expected = [np.zeros(v.shape) for v in variables]
    origin = [np.zeros(v.shape) for v in variables]
    for i in range(0, len(x), networks.BATCH):
        batch = slice(i, i + networks.BATCH)
        closure = ClosureGradients(
            lambda b=batch: networks.cross_entropy(y[b], model(x[b], training=True)),
            variables,
        )
        gradients, _ = closure.at_weights()
        shifted, _ = closure(shifts)
        closure.commit()
        expected = [e + g.numpy() for e, g in zip(expected, shifted, strict=True)]
        origin = [o + g.numpy() for o, g in zip(origin, gradients, strict=True)]
    state = [v.numpy() for v in model.non_trainable_variables]

    for variable, value in zip(model.variables, initial, strict=True):
        variable.assign(value)
    optimizer = Recorder(shifts)
    model.compile(
        optimizer, networks.cross_entropy, steps_per_execution=4, jit_compile=False
    )
    model.fit(x, y, batch_size=networks.BATCH, shuffle=False, verbose=0)

    error = networks.relative_error(optimizer.sums, expected, origin)
    assert error <= FLOAT32_TOLERANCE
    for variable, value in zip(model.non_trainable_variables, state, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)


# bfloat16 keeps 8 bits, so a gradient is known to about 2**-9 = 0.002 of itself. Its
# change over a shift of 0.01 is roughly a tenth of it, and hence known to 0.02; two
# such errors, with the sums in another order, stay below 0.05.
BFLOAT16_TOLERANCE = 0.05


@pytest.mark.parametrize("name", networks.ALL)
def test_equals_closure_form_in_mixed_bfloat16(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = networks.ALL[name]()
    x, y = networks.data(model)
    shifts = networks.random_shifts(model)
    reference, _ = closure_form(model, x, y, shifts)
    gradients, shifted, _ = replayed(model, x, y, shifts)
    error = networks.relative_error(shifted, reference, origin=gradients)
    assert error <= BFLOAT16_TOLERANCE


def test_state_moves_once():
    """BatchNorm's statistics and the seeds end as in a run without probes."""

    def state_after_one_step(optimizer):
        keras.utils.set_random_seed(3)
        model = networks.convolution()
        x, y = networks.data(model)
        model.compile(optimizer(model), networks.cross_entropy, metrics=["accuracy"])
        model.train_on_batch(x, y)
        return [v.numpy() for v in model.non_trainable_variables]

    plain = state_after_one_step(lambda model: keras.optimizers.SGD(0.0))
    probed = state_after_one_step(lambda m: Recorder(networks.random_shifts(m)))
    for a, b in zip(plain, probed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shares_noise_of_stateful_operations():
    """Noise whose shape depends on an activation is not drawn again."""
    w = tf.Variable([1.0, 2.0])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            noise = tf.random.normal(tf.shape(w * 2.0))
            loss = tf.reduce_sum(noise * w**2)
        gradient = tape.gradient(loss, w)
        replay = GradientReplay([gradient], loss, [w])
        return noise, replay([tf.constant([1.0, 1.0])])

    noise, (gradients, _) = step()
    np.testing.assert_allclose(gradients[0], 2 * noise * [2.0, 3.0], rtol=1e-6)


def traced(function):
    return tf.function(function, autograph=False)


def square_step(w):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(w**2)
    return tape.gradient(loss, w), loss


def test_refuses_eager_tensors():
    w = tf.Variable([1.0])
    gradient, loss = square_step(w)
    with pytest.raises(ValueError, match=r"eager tensor.*minimize"):
        GradientReplay([gradient], loss, [w])


def test_refuses_gradients_captured_from_outside():
    w = tf.Variable([1.0])

    def step(is_due):
        gradient, loss = square_step(w)

        def branch():
            GradientReplay([gradient / 2.0], loss / 2.0, [w])
            return 0

        return tf.cond(is_due, branch, lambda: 0)

    with pytest.raises(ValueError, match=r"captured.*mixed_bfloat16"):
        traced(step)(tf.constant(True))


def test_refuses_tensors_of_several_graphs():
    w = tf.Variable([1.0])

    def step(is_due):
        gradient, loss = square_step(w)
        return tf.cond(
            is_due,
            lambda: GradientReplay([gradient / 2.0], loss, [w]) and 0,
            lambda: 0,
        )

    with pytest.raises(ValueError, match="several graphs"):
        traced(step)(tf.constant(True))


def test_refuses_gradients_that_do_not_depend_on_the_weights():
    w = tf.Variable([1.0, 2.0])

    def linear_step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(3.0 * w)
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    def hidden_step():
        gradient = tf.py_function(lambda: 2 * w.read_value(), [], tf.float32)
        GradientReplay([gradient], tf.reduce_sum(gradient), [w])

    for step in (linear_step, hidden_step):
        with pytest.raises(ValueError, match="must depend on the weights"):
            traced(step)()


@pytest.mark.parametrize("effect", ["assign", "noise"])
def test_refuses_side_effects_in_nested_functions(effect):
    w, count = tf.Variable([1.0, 2.0]), tf.Variable(0.0)

    @tf.function
    def layer():
        if effect == "assign":
            count.assign_add(1.0)
            return w**2
        return w**2 * tf.random.normal([2])

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer())
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"change state.*@tf.function"):
        traced(step)()


def test_refuses_weights_that_are_assigned_after_their_use():
    w = tf.Variable([1.0, 2.0])

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**2)
            w.assign(tf.clip_by_norm(w, 1.0))
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"assigns a weight after.*constraint"):
        traced(step)()


def test_second_step_of_one_function_is_replayed_at_the_new_weights():
    w = tf.Variable([1.0, 2.0])

    @traced
    def two_steps():
        for _ in range(2):
            gradient, loss = square_step(w)
            replay = GradientReplay([gradient], loss, [w])
            shifted = replay([tf.constant([1.0, 1.0])])
            w.assign_sub(gradient / 4)
        return shifted

    gradients, _ = two_steps()
    np.testing.assert_allclose(gradients[0], 2 * (np.array([0.5, 1.0]) + 1.0))


def test_nested_function_without_side_effects_is_replayed():
    w = tf.Variable([1.0, 2.0])
    cube = tf.function(lambda: w**3)

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(cube())
        replay = GradientReplay([tape.gradient(loss, w)], loss, [w])
        return replay([tf.constant([1.0, 0.0])])

    gradients, loss = step()
    np.testing.assert_allclose(gradients[0], [12.0, 12.0])
    assert float(loss) == 16.0
    np.testing.assert_array_equal(w, [1.0, 2.0])


@pytest.mark.parametrize("collective", [True, False])
def test_refuses_gradients_that_cross_replicas(collective):
    """Synchronized BatchNorm, summed by a collective operation or by plain ones."""
    devices = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]
    sums = None if collective else tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(devices, cross_device_ops=sums)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.layers.Input((6,)),
                keras.layers.Dense(4),
                keras.layers.BatchNormalization(synchronized=True),
                keras.layers.Dense(networks.CLASSES),
            ]
        )
        model.compile(Recorder(networks.random_shifts(model)), networks.cross_entropy)
    x, y = networks.data(model)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(networks.BATCH)
    with pytest.raises(ValueError, match=r"replicas.*synchronized=False"):
        model.fit(batches, verbose=0, shuffle=False)
