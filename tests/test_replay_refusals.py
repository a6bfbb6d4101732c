"""Steps written by hand: at the border of what can be replayed, and beyond it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.replay import GradientReplay
from tests import networks
from tests.recorder import Recorder


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
