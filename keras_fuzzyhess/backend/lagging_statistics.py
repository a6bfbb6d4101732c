"""BatchNorm's moving statistics where nobody brings them up to the weights.

`fit` ends with averaged weights. BatchNorm's statistics are a mean over weights on the
way, of a hundred steps with Keras's momentum, and of the zeros and ones at the start.
On small data the network may then answer like chance, though it has learned well.
"""

import warnings

import keras

from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.moving_statistics import moving_layers
from keras_fuzzyhess.backend.stepping_model import stepping_model


class LaggingStatisticsWarning:
    """Tells once that `fit` needs a callback for a model with BatchNorm.

    While a step is traced, and so before the time for a training is spent.
    """

    def __init__(self) -> None:
        self._is_told = False

    def __call__(self, optimizer: keras.optimizers.Optimizer, is_noted: bool) -> None:
        """Warns if the model of the step has statistics that move.

        `train_on_batch` is left alone: after it nobody puts averages in unasked.

        Args:
            optimizer: A `keras.optimizers.Optimizer` with `use_ema=True`.
            is_noted: Whether a callback takes care of the statistics.
        """
        model = None
        if not (self._is_told or is_noted):
            model = stepping_model(without="train_on_batch")
        compiled = getattr(model, "optimizer", None)
        if compiled is None or inner_optimizer(compiled) is not optimizer:
            return
        layers = [layer for layer in moving_layers(model) if layer.trainable]
        if not layers:
            return
        self._is_told = True
        warnings.warn(
            "`fit` should be given `keras_fuzzyhess.AveragesInValidation()`, before all"
            " other callbacks, where a model has BatchNorm. Received: a model with "
            f"{layers[0].name!r}, without the callback. `fit` ends with averaged "
            "weights, but with the layer's statistics of weights on the way: until "
            "some thousand steps have been taken, it may answer far worse than it has "
            "learned.",
            stacklevel=2,
        )
