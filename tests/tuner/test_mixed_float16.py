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


def test_a_compiled_model_is_refused_by_the_name_of_its_optimizer():
    def compiled(hp):
        model = network16()
        model.compile("adam", LOSS)
        return model

    made = FuzzyHessHyperModel(compiled, loss=LOSS)
    with pytest.raises(ValueError, match="compiled with Adam"):
        made.build(keras_tuner.HyperParameters())
