"""The HyperModel: trial 0 is plain FuzzyHess, scores are what a user means, finite."""

import functools

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess import SALO, AveragesInValidation, FuzzyHess
from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.fuzzy import paper_rule_base
from keras_fuzzyhess.tuner import FuzzyHessHyperModel, best_rule_base
from tests.helpers.fast import first_fast
from tests.tuner.searches import LOSS, data, network, scores, search, tuner


def hypermodel(build=network, **kwargs):
    return FuzzyHessHyperModel(build, **{"search": "weights", "loss": LOSS} | kwargs)


class WeightsAtTheEnd(keras.callbacks.Callback):
    """Writes the weights of a trial to a file, for KerasTuner copies its callbacks."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_end(self, logs=None):
        np.savez(self.path, *self.model.get_weights())


@pytest.mark.parametrize("given", [[], [AveragesInValidation()]], ids=["", "averages"])
def test_trial_0_is_plain_fuzzyhess_bit_for_bit(tmp_path, given):
    """With the user's own callback too: two would leave the averages in a training."""
    everything = hypermodel(search=("breakpoints", "weights", "outputs"))
    searching = tuner("RandomSearch", tmp_path, everything, max_trials=1)
    search(searching, callbacks=[*given, WeightsAtTheEnd(tmp_path / "weights.npz")])
    keras.utils.set_random_seed(0)
    model = network()
    model.compile(optimizer=FuzzyHess(), loss=LOSS)
    (x, y), validation = data()
    model.fit(x, y, validation_data=validation, epochs=2, batch_size=64, verbose=0)
    # The score is of the averaged weights, which `fit` has left.
    score = model.evaluate(*validation, batch_size=64, verbose=0)
    assert scores(searching) == {"0": score}
    tuned = np.load(tmp_path / "weights.npz").values()
    for mine, plain in zip(tuned, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, plain)


@first_fast(epochs=[1, 3])
def test_score_is_the_median_of_the_last_epochs(epochs):
    (x, y), validation = data()
    made = hypermodel(score_epochs=epochs, metrics=["accuracy"])
    hp = keras_tuner.HyperParameters()
    histories = keras.callbacks.CallbackList([], add_history=True)
    history = histories._history
    score = made.fit(
        hp,
        made.build(hp),
        x,
        y,
        validation_data=validation,
        epochs=4,
        batch_size=64,
        verbose=0,
        callbacks=[history],
    )
    assert set(score) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for name, values in history.history.items():
        assert score[name] == np.median(values[-epochs:])


def exploding(factor):
    """A network whose outputs are scaled, so that its squared error overflows."""

    def build(hp):
        hp.Float("u", 0.0, 1.0, default=0.5)
        return keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(1),
                keras.layers.Rescaling(factor),
            ]
        )

    return build


def fit(made, **kwargs):
    (x, y), validation = data()
    hp = keras_tuner.HyperParameters()
    fit = {"epochs": 2, "validation_data": validation, "verbose": 0} | kwargs
    return made.fit(hp, made.build(hp), x, y.astype("float32"), **fit)


class Diverging(keras.optimizers.SGD):
    """Gradient ascent: a finite loss that grows."""

    def __init__(self, rule_base):
        super().__init__(-1e-3)


def test_a_run_that_grows_scores_as_an_untrained_model():
    made = hypermodel(exploding(1.0), loss="mse", optimizer_fn=Diverging)
    model = made.build(keras_tuner.HyperParameters())
    x, y = data()[1]
    untrained = model.evaluate(x, y, verbose=0)
    score = fit(made)
    assert score == {"loss": untrained, "val_loss": untrained}


def test_a_run_that_is_not_finite_scores_finite():
    """Its untrained loss, which is reported, is huge."""
    made = hypermodel(exploding(1e12), loss="mse", optimizer_fn=Diverging)
    score = fit(made)
    assert np.isfinite(list(score.values())).all()
    assert score["val_loss"] > 1e20


def test_a_run_on_data_without_end_is_judged_by_an_epoch_of_them():
    made = hypermodel(exploding(1.0), loss="mse", optimizer_fn=Diverging)
    (x, y), _ = data()
    batches = tf.data.Dataset.from_tensor_slices((x[:64], y[:64].astype("float32")))
    hp = keras_tuner.HyperParameters()
    score = made.fit(
        hp,
        made.build(hp),
        batches.batch(16).repeat(),
        epochs=2,
        steps_per_epoch=4,
        shuffle=False,
        verbose=0,
    )
    untrained = made.build(hp.copy()).evaluate(x[:64], y[:64], verbose=0)
    assert score == {"loss": pytest.approx(untrained, rel=1e-5)}


def test_data_with_nan_are_named():
    (x, y), (held_back, labels) = data()
    made = hypermodel()
    hp = keras_tuner.HyperParameters()
    broken = np.full_like(held_back, np.nan), labels
    with pytest.raises(ValueError, match="finite before it is trained.*NaN.*data"):
        made.fit(hp, made.build(hp), x, y, verbose=0, validation_data=broken)


@pytest.mark.slow
def test_several_objectives(tmp_path):
    objectives = ["val_loss", keras_tuner.Objective("val_accuracy", "max")]
    made = hypermodel(metrics=["accuracy"])
    searching = search(
        tuner("RandomSearch", tmp_path, made, objective=objectives, max_trials=1)
    )
    metrics = searching.oracle.trials["0"].metrics
    loss, accuracy = (
        metrics.get_last_value(name) for name in ("val_loss", "val_accuracy")
    )
    assert scores(searching) == {"0": pytest.approx(loss - accuracy)}


def test_metrics_of_trials_are_apart():
    metric = keras.metrics.MeanSquaredError(name="squares")
    made = hypermodel(exploding(1.0), loss="mse", metrics=[metric])
    models = [made.build(keras_tuner.HyperParameters()) for _ in range(2)]
    (x, y), _ = data()
    models[0].evaluate(x, y, verbose=0)
    models[1].evaluate(x[:1], y[:1], verbose=0)
    first, second = (model.get_metrics_result()["squares"] for model in models)
    assert metric.result() == 0 and first != second


def test_executions_have_seeds_of_their_own():
    made = hypermodel()
    hp = keras_tuner.HyperParameters()
    first, second = (made.build(hp).get_weights()[0] for _ in range(2))
    again = made.build(hp.copy()).get_weights()[0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_hyperband_keeps_the_state_of_the_optimizer(policy, tmp_path):
    keras.config.set_dtype_policy(policy)

    class Steps(keras.callbacks.Callback):
        """Appends the number of steps that the optimizer has taken before."""

        def on_train_begin(self, logs=None):
            with open(tmp_path / "steps", "a") as file:
                optimizer = inner_optimizer(self.model.optimizer)
                file.write(f"{int(optimizer.iterations)}\n")

    searching = tuner("Hyperband", tmp_path, hypermodel(), max_epochs=2, factor=2)
    search(searching, callbacks=[Steps()])
    begun_at = [int(line) for line in (tmp_path / "steps").read_text().split()]
    promoted = [
        trial
        for trial in searching.oracle.trials.values()
        if trial.hyperparameters.values.get("tuner/initial_epoch")
    ]
    assert promoted and set(begun_at) == {0, 512 // 64}


@pytest.mark.slow
def test_hyperband_ends_where_all_diverge(tmp_path):
    made = hypermodel(exploding(1.0), loss="mse", optimizer_fn=Diverging)
    searching = tuner("Hyperband", tmp_path, made, max_epochs=2, factor=2)
    search(searching)
    assert len(scores(searching)) == len(searching.oracle.trials) > 2


def test_other_optimizers_and_bases():
    made = hypermodel(
        base=paper_rule_base(),
        optimizer_fn=functools.partial(SALO, epsilon=0.5),
    )
    optimizer = made.build(keras_tuner.HyperParameters()).optimizer
    assert isinstance(optimizer, SALO) and optimizer.rule_base == paper_rule_base()


@pytest.mark.slow
def test_changed_space_on_resume_is_an_error(tmp_path):
    searching = search(tuner("RandomSearch", tmp_path, max_trials=1))
    assert best_rule_base(searching).name == "default"
    other = hypermodel(search=("weights", "outputs"))
    resumed = tuner("RandomSearch", tmp_path, other, max_trials=2)
    with pytest.raises(
        ValueError, match=r'`search` was \["outputs"\], now \["weights"'
    ):
        search(resumed)
    assert list(scores(resumed)) == ["0"]  # nothing is lost
    again = tuner("RandomSearch", tmp_path, max_trials=2)
    assert len(scores(search(again))) == 2


def test_errors(tmp_path):
    with pytest.raises(TypeError, match="`build_fn` must be a function"):
        hypermodel("network")
    with pytest.raises(TypeError, match="`build_fn` must be a function"):
        hypermodel(network())
    with pytest.raises(TypeError, match="`optimizer_fn` must be a function"):
        hypermodel(optimizer_fn="adam")
    with pytest.raises(TypeError, match="must be a `RuleBase`"):
        hypermodel(base=3)
    with pytest.raises(ValueError, match="`search` must name one or more"):
        hypermodel(search=["rules"])
    with pytest.raises(ValueError, match="optimizer must be left.*optimizer_fn"):
        hypermodel(optimizer="adam")
    with pytest.raises(ValueError, match="`score_epochs` must be an integer"):
        hypermodel(score_epochs=0)
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        hypermodel(seed=-1)
    hp = keras_tuner.HyperParameters()
    with pytest.raises(TypeError, match="must return a `keras.Model`"):
        hypermodel(lambda hp: None).build(hp)

    def compiled(hp):
        model = network()
        model.compile("adam", LOSS)
        return model

    with pytest.raises(ValueError, match="not compiled.*with Adam"):
        hypermodel(compiled).build(hp)
    made = hypermodel(lambda hp: keras.Sequential([keras.layers.Dense(10)]))
    made.build(hp)
    with pytest.raises(ValueError, match="Under Hyperband.*built"):
        search(tuner("Hyperband", tmp_path, made, max_epochs=2))
    made = hypermodel()
    with pytest.raises(TypeError, match="read more than once"):
        made.fit(hp, made.build(hp), iter([data()[0]]), verbose=0)
