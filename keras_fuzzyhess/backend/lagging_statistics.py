"""BatchNorm's moving statistics where nobody brings them up to the weights.

`fit` ends with averaged weights. BatchNorm's statistics are a mean over weights on the
way, of a hundred steps with Keras's momentum, and of the zeros and ones at the start.
On small data the network may then answer like chance, though it has learned well.
"""

import warnings
from collections.abc import Sequence

import keras

from keras_fuzzyhess.backend.loss_scaling import inner_optimizer
from keras_fuzzyhess.backend.moving_statistics import ENOUGH, moving_layers
from keras_fuzzyhess.backend.stepping_model import stepping_model
from keras_fuzzyhess.measure.averaging_rate import Averaging


class LaggingStatisticsWarning:
    """Tells once that `fit` needs a callback for a model with BatchNorm."""

    def __init__(self) -> None:
        self._message: str | None = None
        self._is_told = False

    def look(
        self,
        optimizer: keras.optimizers.Optimizer,
        weights: Sequence[keras.Variable],
        is_noted: bool,
    ) -> None:
        """Looks at the model whose step is traced, and warns before the training.

        `train_on_batch` is left alone, as far as the stack of this thread shows it:
        after it nobody puts averages in unasked.

        Args:
            optimizer: A `keras.optimizers.Optimizer` with `use_ema=True`.
            weights: List of the weights that have gradients.
            is_noted: Whether a callback takes care of the statistics.
        """
        model = None if self._is_told else stepping_model(without="train_on_batch")
        compiled = getattr(model, "optimizer", None)
        if compiled is None or inner_optimizer(compiled) is not optimizer:
            return
        stepped = {id(weight) for weight in weights}
        layers = [layer for layer in moving_layers(model) if _lags(layer, stepped)]
        if layers:
            self._message = _message(max(layers, key=lambda layer: layer.momentum))
            self.tell(is_noted)

    def tell(self, is_noted: bool) -> None:
        """Warns if that is due: as above, and where a `fit` ends.

        Its step may have been traced by one before, which had the callback.
        """
        if self._message is not None and not (self._is_told or is_noted):
            self._is_told = True
            warnings.warn(self._message, stacklevel=2)


def _lags(layer: keras.layers.BatchNormalization, stepped: set[int]) -> bool:
    """Whether its statistics move, and remember longer than few minibatches."""
    own = [id(weight) for weight in layer.trainable_variables]
    is_in_it = not own or not stepped.isdisjoint(own)
    forgotten = 1 - float(layer.momentum)
    return bool(layer.trainable and is_in_it and 0 < forgotten < 1 / ENOUGH)


def _message(layer: keras.layers.BatchNormalization) -> str:
    # From then on the average of the weights is as long as that of the statistics.
    steps = Averaging.window / (1 - float(layer.momentum))
    return (
        "`fit` should be given `keras_fuzzyhess.AveragesInValidation()`, before all "
        "other callbacks and in the place of `SwapEMAWeights`, where a model has "
        f"BatchNorm. Received: a model with {layer.name!r}, without the callback. `fit`"
        " ends with averaged weights, but with the layer's statistics of weights on "
        f"the way: until about {steps:,.0f} steps have been taken, it may answer far "
        "worse than it has learned."
    )
