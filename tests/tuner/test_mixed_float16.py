"""The hypermodel sees its optimizer inside of Keras's loss scaling."""

import keras
import keras_tuner
import pytest

from keras_fuzzyhess import FuzzyHess
from keras_fuzzyhess.tuner import FuzzyHessHyperModel
from tests.tuner.searches import LOSS, data, network, scores, search, tuner


def network16(hp=None):
    keras.config.set_dtype_policy("mixed_float16")
    return network()


def hypermodel():
    return FuzzyHessHyperModel(network16, search="weights", loss=LOSS)


@pytest.mark.slow
def test_averages_are_what_is_validated(tmp_path):
    searching = search(tuner("RandomSearch", tmp_path, hypermodel(), max_trials=1))
    keras.utils.set_random_seed(0)
    model = network16()
    model.compile(optimizer=FuzzyHess(), loss=LOSS)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    (x, y), validation = data()
    model.fit(x, y, validation_data=validation, epochs=2, batch_size=64, verbose=0)
    score = model.evaluate(*validation, batch_size=64, verbose=0)
    assert scores(searching) == {"0": score}


@pytest.mark.slow
def test_hyperband_keeps_the_state_of_the_optimizer(tmp_path):
    class Steps(keras.callbacks.Callback):
        """Appends the number of steps that the optimizer has taken before."""

        def on_train_begin(self, logs=None):
            with open(tmp_path / "steps", "a") as file:
                file.write(f"{int(self.model.optimizer.inner_optimizer.iterations)}\n")

    searching = tuner("Hyperband", tmp_path, hypermodel(), max_epochs=2, factor=2)
    search(searching, callbacks=[Steps()])
    begun_at = [int(line) for line in (tmp_path / "steps").read_text().split()]
    assert set(begun_at) == {0, 512 // 64}


def test_a_compiled_model_is_refused_by_the_name_of_its_optimizer():
    def compiled(hp):
        model = network16()
        model.compile("adam", LOSS)
        return model

    made = FuzzyHessHyperModel(compiled, loss=LOSS)
    with pytest.raises(ValueError, match="compiled with Adam"):
        made.build(keras_tuner.HyperParameters())
