"""Training steps as Keras's guides teach them: none of them calls `scale_loss`.

Each ends at the weights that it reaches when the loss is told.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_fuzzyhess import AveragesInValidation, FuzzyHess
from tests.helpers.fast import first_fast

OPTIMIZERS = {
    "FuzzyHess": lambda: FuzzyHess(seed=1, probe_interval=2, curvature_power=0.5),
    "SALO": lambda: FuzzyHess.salo(),
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def told(optimizer, loss, tell):
    return optimizer.scale_loss(loss) if tell else loss


def apply(tape, loss, weights, optimizer):
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


class OwnFit(keras.Sequential):
    """The loss that `compile` was given, metrics updated after the step."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = told(self.optimizer, self.compute_loss(y=y, y_pred=outputs), TELL[0])
        apply(tape, loss, self.trainable_variables, self.optimizer)
        for metric in self.metrics:
            values = (loss,) if metric.name == "loss" else (y, outputs)
            metric.update_state(*values)
        return {metric.name: metric.result() for metric in self.metrics}


class OwnLoss(keras.Sequential):
    """A loss for each sample, whose gradient a tape takes as that of their sum."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.losses.mean_squared_error(y, self(x, training=True))
            loss = told(self.optimizer, loss, TELL[0])
        apply(tape, loss, self.trainable_weights, self.optimizer)
        return {"loss": tf.reduce_mean(loss)}


class WeightedLoss(keras.Sequential):
    """Sample weights, and what layers add to the loss."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            error = ops.square(y - self(x, training=True))
            weights = ops.abs(x[:, :1])
            loss = ops.sum(error * weights) / ops.sum(weights) + sum(self.losses)
            loss = told(self.optimizer, loss, TELL[0])
        apply(tape, loss, self.trainable_weights, self.optimizer)
        return {"loss": loss}


TELL = [True]


def fitted(kind, optimizer, tell):
    TELL[0] = tell
    keras.backend.clear_session()  # equal names, hence equal orders of sums
    keras.utils.set_random_seed(0)
    model = kind(
        [
            layers.Input((6,)),
            layers.Dense(8, "tanh", kernel_regularizer="l2"),
            layers.Dropout(0.1),
            layers.Dense(1),
        ]
    )
    metrics = ["mae"] if kind is OwnFit else None
    model.compile(optimizer, loss="mse", metrics=metrics)
    model.fit(X, Y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    return model.get_weights(), optimizer.diagnostics


class Autoencoder(keras.Model):
    """A variational one, with the sum of two losses."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = layers.Dense(4), layers.Dense(6)
        self.seeds = keras.random.SeedGenerator(3)

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
            noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
            code = mean + ops.exp(0.5 * log_variance) * noise
            rebuilding = ops.mean(ops.sum((x - self.decoder(code)) ** 2, axis=1))
            divergence = -0.5 * (
                1 + log_variance - ops.square(mean) - ops.exp(log_variance)
            )
            divergence = ops.mean(ops.sum(divergence, axis=1))
            loss = told(self.optimizer, rebuilding + divergence, TELL[0])
        apply(tape, loss, self.trainable_weights, self.optimizer)
        return {"loss": loss, "rebuilding": rebuilding, "divergence": divergence}


def autoencoder(make, tell):
    TELL[0] = tell
    keras.backend.clear_session()  # equal names, hence equal orders of sums
    keras.utils.set_random_seed(0)
    model, optimizer = Autoencoder(), make()
    model.encoder.build((None, 6))
    model.decoder.build((None, 2))
    model.built = True
    model.compile(optimizer)
    model.fit(X, batch_size=16, epochs=4, shuffle=False, verbose=0)
    return model.get_weights(), [optimizer.diagnostics]


class Wasserstein(keras.Model):
    """Two networks; the critic steps twice, with a penalty on its gradient."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential(
            [layers.Input((3,)), layers.Dense(8, "tanh"), layers.Dense(6)]
        )
        self.critic = keras.Sequential(
            [layers.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(1)]
        )
        self.seeds = keras.random.SeedGenerator(3)

    def compile(self, of_generator, of_critic):
        super().compile()
        self.of_generator, self.of_critic = of_generator, of_critic

    def penalty(self, real, fake):
        share = keras.random.uniform((ops.shape(real)[0], 1), seed=self.seeds)
        between = real + share * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            value = self.critic(between, training=True)
        slope = tape.gradient(value, [between])[0]
        return ops.mean((ops.sqrt(ops.sum(slope**2, axis=1)) - 1.0) ** 2)

    def noise(self, x):
        return keras.random.normal((ops.shape(x)[0], 3), seed=self.seeds)

    def train_step(self, x):
        for _ in range(2):
            noise = self.noise(x)
            with tf.GradientTape() as tape:
                fake = self.generator(noise, training=True)
                cost = ops.mean(self.critic(fake)) - ops.mean(self.critic(x))
                loss = cost + 10.0 * self.penalty(x, fake)
                loss = told(self.of_critic, loss, TELL[0])
            apply(tape, loss, self.critic.trainable_variables, self.of_critic)
        noise = self.noise(x)
        with tf.GradientTape() as tape:
            value = -ops.mean(self.critic(self.generator(noise, training=True)))
            value = told(self.of_generator, value, TELL[0])
        apply(tape, value, self.generator.trainable_variables, self.of_generator)
        return {"d_loss": loss, "g_loss": value}


def wasserstein(make, tell):
    TELL[0] = tell
    keras.backend.clear_session()  # equal names, hence equal orders of sums
    keras.utils.set_random_seed(0)
    model, optimizers = Wasserstein(), [make(), make()]
    model.compile(*optimizers)
    callbacks = [AveragesInValidation()]  # else a warning that nobody puts them in
    model.fit(
        X[:48], batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model.get_weights(), [o.diagnostics for o in optimizers]


def same(found, expected):
    (weights, diagnostics), (told_weights, told_diagnostics) = found, expected
    assert diagnostics == told_diagnostics
    for one, other in zip(weights, told_weights, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()


@first_fast(kind=[OwnFit, OwnLoss, WeightedLoss])
@first_fast(optimizer=OPTIMIZERS)
def test_own_train_step(kind, optimizer):
    make = OPTIMIZERS[optimizer]
    found = fitted(kind, make(), tell=False)
    assert found[1]["probes"] > 0
    same(found, fitted(kind, make(), tell=True))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("train", [autoencoder, wasserstein])
def test_several_losses(train, optimizer):
    make = OPTIMIZERS[optimizer]
    found = train(make, tell=False)
    assert all(diagnostics["probes"] > 0 for diagnostics in found[1])
    same(found, train(make, tell=True))


@pytest.mark.slow
@first_fast(optimizer=OPTIMIZERS)
def test_own_loop_with_a_step_in_a_function(optimizer):
    """Regularization added, metrics updated in the step, a last minibatch of 12."""

    def trained(tell):
        keras.backend.clear_session()  # equal names, hence equal orders of sums
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Dense(8, "tanh"), layers.Dense(1)])
        model.build((None, 6))
        made, loss_fn = OPTIMIZERS[optimizer](), keras.losses.MeanSquaredError()
        metric = keras.metrics.MeanAbsoluteError()
        made.build(model.trainable_weights)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                outputs = model(x, training=True)
                loss = told(made, loss_fn(y, outputs), tell)
            gradients = tape.gradient(loss, model.trainable_weights)
            gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
            made.apply(gradients, model.trainable_weights)
            metric.update_state(y, outputs)
            return loss

        for x, y in tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat(3):
            loss = step(x, y)
        assert np.isfinite(loss)
        return model.get_weights(), made.diagnostics

    found = trained(tell=False)
    assert found[1]["probes"] > 0
    same(found, trained(tell=True))
