"""The replay against the closure form.

Errors are relative to the *change* of the gradient, which is what FuzzyHess measures
(relative to the gradient itself they would look about a hundred times smaller).
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.closure import ClosureGradients
from keras_fuzzyhess.backend.replay import GradientReplay
from tests.helpers import networks
from tests.helpers.fast import each_value_fast, first_fast
from tests.helpers.recorder import Recorder

FLOAT32_TOLERANCE = 1e-4


def replayed(model, x, y, shifts, jit_compile=False, in_branch_too=True):
    """Gradients of one traced step; then gradients and loss that are replayed in it.

    Once in every step, as SALO does, and once in a branch, as FuzzyHess does.
    """
    variables = networks.weights(model)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(x, y, is_due):
        with tf.GradientTape() as tape:
            loss = networks.cross_entropy(y, model(x, training=True))
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        replay = GradientReplay(gradients, loss, variables)
        if not in_branch_too:
            return gradients, replay(shifts)
        in_branch = tf.cond(is_due, lambda: replay(shifts), lambda: (gradients, loss))
        return gradients, replay(shifts), in_branch

    gradients, *both = step(tf.constant(x), tf.constant(y), tf.constant(True))
    return gradients, both


def closure_form(model, x, y, shifts, jit_compile=False):
    """The reference: the loss function called again at shifted weights."""
    x, y = tf.constant(x), tf.constant(y)
    closure = ClosureGradients(
        lambda: networks.cross_entropy(y, model(x, training=True)),
        networks.weights(model),
    )
    return tf.function(lambda: closure(shifts), jit_compile=jit_compile)()


@each_value_fast(name=networks.ALL, jit_compile=[False, True])
def test_equals_closure_form(name, jit_compile):
    model = networks.ALL[name]()
    x, y = networks.data(model)
    shifts = networks.random_shifts(model)
    reference, reference_loss = closure_form(model, x, y, shifts, jit_compile)
    before = [v.numpy() for v in model.trainable_variables]

    gradients, both = replayed(model, x, y, shifts, jit_compile)

    for shifted, loss in both:
        error = networks.relative_error(shifted, reference, origin=gradients)
        assert error <= FLOAT32_TOLERANCE
        np.testing.assert_allclose(loss, reference_loss, rtol=1e-5)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


@first_fast(name=networks.ALL)
def test_equals_closure_form_with_steps_per_execution(name):
    model = networks.ALL[name]()
    x, y = networks.data(model, batches=2)
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
        origin = [
            o + tf.convert_to_tensor(g).numpy()
            for o, g in zip(origin, gradients, strict=True)
        ]
    state = [v.numpy() for v in model.non_trainable_variables]

    for variable, value in zip(model.variables, initial, strict=True):
        variable.assign(value)
    optimizer = Recorder(shifts)
    model.compile(
        optimizer, networks.cross_entropy, steps_per_execution=2, jit_compile=False
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


@first_fast(name=networks.ALL)
def test_equals_closure_form_in_mixed_bfloat16(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = networks.ALL[name]()
    x, y = networks.data(model)
    shifts = networks.random_shifts(model)
    reference, _ = closure_form(model, x, y, shifts)
    # Two replays in one step would be optimized together, and rounded another way.
    gradients, [(shifted, _)] = replayed(model, x, y, shifts, in_branch_too=False)
    error = networks.relative_error(shifted, reference, origin=gradients)
    assert error <= BFLOAT16_TOLERANCE


def with_probe_in_a_branch(w, loss_fn):
    """A step that may replay itself a one further, and the graph of that branch."""
    branch = None

    @tf.function(autograph=False)
    def step(is_due):
        with tf.GradientTape() as tape:
            loss = loss_fn()
        gradients = [tape.gradient(loss, w)]
        replay = GradientReplay(gradients, loss, [w])

        def probe():
            nonlocal branch
            branch = tf.compat.v1.get_default_graph()
            return replay([tf.ones(w.shape)])

        return tf.cond(is_due, probe, lambda: (gradients, loss))

    traced = step.get_concrete_function(tf.TensorSpec((), tf.bool))
    return traced, branch


def test_what_a_gradient_computes_anew_waits_as_in_the_step():
    """Else a probe would keep more of the forward pass than the step itself does."""
    w = tf.Variable([1.0, -2.0])

    def loss():
        differences = tf.math.squared_difference(tf.nn.silu(w), w)
        return tf.exp(tf.reduce_sum(differences))

    step, branch = with_probe_in_a_branch(w, loss)
    graph = step.graph
    repeated = {
        op.name.rpartition("replay/")[2]: op.control_inputs
        for op in branch.get_operations()
        if "replay/" in op.name
    }
    waiting = 0
    for op in graph.get_operations():
        befores = {before.name for before in op.control_inputs} & repeated.keys()
        if befores and op.name in repeated:
            waiting += 1
            found = {b.name.rpartition("replay/")[2] for b in repeated[op.name]}
            assert found >= befores, op.name
    assert waiting >= 2, "what the gradients of silu and of the square compute anew"


def test_small_constants_are_no_inputs_of_a_branch():
    """Of a gradient's thousands each would cost operations in every step."""
    w = tf.Variable(tf.ones((3, 4)))

    @tf.function(autograph=False)
    def step(is_due):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.reshape(w, [2, 6]) ** 3 * 2.0)
        gradients = [tape.gradient(loss, w)]
        replay = GradientReplay(gradients, loss, [w])
        shift = tf.ones((3, 4))
        return tf.cond(is_due, lambda: replay([shift]), lambda: (gradients, loss))

    graph = step.get_concrete_function(tf.constant(True)).graph
    (branch,) = (
        op for op in graph.get_operations() if op.type in ("If", "StatelessIf")
    )
    constants = [t.name for t in branch.inputs if t.op.type == "Const"]
    assert len(constants) <= 1, "the shift alone"


@pytest.mark.parametrize("exponent, left", [(2, 0), (2.0, 0), (3.0, 0), (0.5, 1)])
def test_small_powers_are_not_repeated_as_powers(exponent, left):
    """TensorFlow makes products of powers in a step, but not in a branch it calls."""
    w = tf.Variable([1.0, 2.0])
    step, branch = with_probe_in_a_branch(w, lambda: tf.reduce_sum(w**exponent))
    (gradient,), loss = step(tf.constant(True))
    shifted = np.array([2.0, 3.0])
    np.testing.assert_allclose(loss, (shifted**exponent).sum(), rtol=1e-6)
    expected = exponent * shifted ** (exponent - 1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    powers = [op for op in branch.get_operations() if op.type == "Pow"]
    assert len(powers) == left, "of a root the gradient's, with -1/2"


def test_a_power_by_a_vector_is_repeated_as_it_is():
    w, exponents = tf.Variable([3.0, 3.0]), tf.constant([2.0, 2.0])

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.pow(w[0], exponents))
        gradients = [tf.convert_to_tensor(tape.gradient(loss, w))]
        return GradientReplay(gradients, loss, [w])([tf.ones(2)])

    (gradient,), loss = step()
    assert float(loss) == pytest.approx(32.0)
    assert gradient.numpy().tolist() == pytest.approx([16.0, 0.0])
