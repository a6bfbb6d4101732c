"""What a training does beside training: rates, logs, checkpoints, seeds."""

import time

import keras
import numpy as np
from run_folder import RunFolder

from keras_fuzzyhess import (
    SALO,
    AveragesInValidation,
    FuzzyHess,
    FuzzyHessMonitor,
)

QUALITY = "val_accuracy"
"""By which the best epoch is chosen."""


class Throughput(keras.callbacks.Callback):
    """Puts `seconds` and `images_per_second` of training into the logs of an epoch.

    The progress bar has the rate since the epoch began.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        images = self.images * (batch + 1) / self.params["steps"]
        logs["images_per_second"] = images / (time.perf_counter() - self._start)

    def on_test_begin(self, logs=None):
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = self._seconds
        logs["images_per_second"] = self.images / self._seconds


class SeedsOfEpoch(keras.callbacks.Callback):
    """Seeds dropout anew in every epoch, from the run's seed and the epoch's number.

    Keras does not save the state of a layer's `SeedGenerator`. Without this, a run that
    goes on after a kill would draw the first epoch's masks again.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [
            v for v in self.model.variables if v.path.endswith("seed_generator_state")
        ]
        for i, state in enumerate(states):
            draw = np.random.SeedSequence([self.seed, epoch, i]).generate_state(1)
            state.assign(np.array([draw[0], 0], state.dtype))


def make_callbacks(
    folder: RunFolder, optimizer: keras.optimizers.Optimizer, seed: int, images: int
) -> list[keras.callbacks.Callback]:
    """All of them, in their order: those that add to the logs come before the logs.

    The backup comes behind the logs, so that every epoch it counts as finished is
    logged. What is validated and saved are the averages, with which `fit` ends.

    Args:
        folder: Its backup is restored already.
        optimizer: The model's.
        seed: Integer.
        images: Integer, trained on in an epoch.
    """
    log = folder.read_log()
    averages = [AveragesInValidation()] if optimizer.use_ema else []
    monitors = []
    if isinstance(optimizer, FuzzyHess | SALO):
        monitors.append(FuzzyHessMonitor())
    logs = [
        SeedsOfEpoch(seed),
        Throughput(images),
        *monitors,
        keras.callbacks.CSVLogger(folder.log, append=bool(log)),
        keras.callbacks.TensorBoard(folder.tensorboard, write_graph=False),
    ]
    best = keras.callbacks.ModelCheckpoint(
        folder.best,
        monitor=QUALITY,
        mode="max",
        save_best_only=True,
        initial_value_threshold=max((row[QUALITY] for row in log), default=None),
    )
    backup = keras.callbacks.BackupAndRestore(
        folder.backup, double_checkpoint=True, delete_checkpoint=False
    )
    if averages and not isinstance(optimizer, FuzzyHess | SALO):
        # The state of an optimizer of Keras does not hold the weights beside averages.
        return [*logs, backup, *averages, best]
    return [*averages, *logs, best, backup]
