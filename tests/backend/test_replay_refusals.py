"""Steps written by hand: at the border of what can be replayed, and beyond it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.replay import GradientReplay
from tests.helpers import networks
from tests.helpers.recorder import Recorder


def traced(function):
    return tf.function(function, autograph=False)


def square_step(w):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(w**2)
    return tape.gradient(loss, w), loss


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


def test_refuses_eager_tensors():
    w = tf.Variable([1.0])
    gradient, loss = square_step(w)
    with pytest.raises(ValueError, match=r"eager tensor.*minimize"):
        GradientReplay([gradient], loss, [w])


def test_gradients_captured_from_outside_are_replayed():
    """As under loss scaling: computed in the step, divided and applied in a branch."""
    w = tf.Variable([1.0, 2.0])

    def step(is_due):
        gradient, loss = square_step(w)

        def branch():
            replay = GradientReplay([gradient / 2.0], loss / 2.0, [w])
            return replay([tf.constant([1.0, -1.0])])

        def inner(is_due):
            return tf.cond(is_due, branch, lambda: ([gradient], loss))

        return tf.cond(is_due, lambda: inner(is_due), lambda: ([gradient], loss))

    gradients, loss = traced(step)(tf.constant(True))
    np.testing.assert_allclose(gradients[0], [2.0, 1.0])
    assert float(loss) == 2.5
    np.testing.assert_array_equal(w, [1.0, 2.0])


def test_refuses_tensors_of_unrelated_functions():
    w = tf.Variable([1.0])
    kept = []

    @traced
    def first():
        kept.append(square_step(w))

    @traced
    def second():
        gradient, loss = kept[0]
        GradientReplay([gradient], loss, [w])

    first()
    with pytest.raises(ValueError, match="must come from the function that applies"):
        second()


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    w = tf.Variable([1.0, 2.0])

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(3.0 * w)
        replay = GradientReplay([tape.gradient(loss, w)], loss, [w])
        return replay([tf.constant([1.0, 1.0])])

    gradients, loss = step()
    np.testing.assert_array_equal(gradients[0], [3.0, 3.0])
    assert float(loss) == 15.0


def test_refuses_gradients_that_do_not_depend_on_the_weights():
    w = tf.Variable([1.0, 2.0])

    @traced
    def step():
        gradient = tf.py_function(lambda: 2 * w.read_value(), [], tf.float32)
        GradientReplay([gradient], tf.reduce_sum(gradient), [w])

    with pytest.raises(ValueError, match=r"how the gradients depend.*py_function"):
        step()


@pytest.mark.parametrize("where", ["function", "loop", "branch"])
def test_refuses_noise_from_a_hidden_state_inside(where):
    w = tf.Variable([1.0, 2.0])

    def noisy():
        return w**2 * tf.random.normal([2])

    def layer():
        if where == "function":
            return tf.function(noisy)()
        if where == "branch":
            return tf.cond(w[0] > 0, noisy, lambda: w)
        return tf.map_fn(lambda x: x * tf.random.normal([]), w)

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer())
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"(?s)Noise.*SeedGenerator") as caught:
        step()
    assert ("decorator" in str(caught.value)) == (where == "function")


@pytest.mark.parametrize("where", ["function", "loop", "branch"])
def test_refuses_python_code_that_nobody_can_check(where):
    """Outside of loops, branches and functions its answers are compared."""
    w = tf.Variable([1.0, 2.0])

    def python(x):
        return tf.ensure_shape(tf.numpy_function(np.tanh, [x], tf.float32), x.shape)

    def layer():
        if where == "function":
            return tf.function(lambda: w**2 * python(w))()
        if where == "branch":
            return tf.cond(w[0] > 0, lambda: w**2 * python(w), lambda: w)
        return tf.map_fn(lambda x: x**2 * python(x), w)

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer())
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"Python code.*stateful=False"):
        step()


def test_refuses_noise_that_is_differentiated_and_has_no_seed():
    w = tf.Variable([1.0, 2.0])

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.random.gamma([], tf.exp(w)))
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"stateless_gamma"):
        step()


def test_refuses_a_look_up_in_a_table_that_changes_afterwards():
    w = tf.Variable([1.0, 2.0])
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 1.0)

    @traced
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(w**2 * table.lookup(tf.argmax(w)))
        table.insert([0], [2.0])
        GradientReplay([tape.gradient(loss, w)], loss, [w])

    with pytest.raises(ValueError, match=r"changes afterwards.*tf.Variable"):
        step()


@pytest.mark.parametrize("scaled", [True, False])
def test_refuses_gradients_summed_by_hand(scaled):
    """A sum of all, and a sum of the last and those before."""
    w, total = tf.Variable([1.0, 2.0]), tf.Variable([0.0, 0.0])

    @traced
    def step():
        gradient, loss = square_step(w)
        total.assign_add(gradient)
        summed = (total + gradient) / 4.0 if scaled else total.read_value()
        GradientReplay([summed], loss, [w])

    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        step()


def test_a_large_constant_in_a_sum_is_no_gradient_from_before():
    """TensorFlow hands it in from outside, which small ones are not."""
    w, rest = tf.Variable(tf.ones(4096)), tf.ones(4096)

    @traced
    def step():
        gradient, loss = square_step(w)
        return GradientReplay([tf.add_n([gradient, rest])], loss, [w])([w * 0.0 + 1.0])

    gradients, _ = step()
    np.testing.assert_allclose(gradients[0], 2 * (w + 1.0) + rest)


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
    with pytest.raises(ValueError, match=r"replica.*synchronized=False"):
        model.fit(batches, verbose=0, shuffle=False)
