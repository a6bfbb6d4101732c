"""A training that is killed and goes on; `kill_and_resume` starts it.

python -m tests.helpers.interrupted_training {backup,model} FOLDER STEPS

Prints the number of each step and a digest of all that there is then: weights, their
average, the optimizer's momenta, its random signs, its controller.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import FuzzyHess, FuzzyHessMonitor
from tests.helpers import networks

STEPS_AN_EPOCH, STEPS_A_SAVE = 30, 7


class Batches(keras.utils.PyDataset):
    """Minibatches that are a function of the number of the step.

    After a kill in the middle of an epoch Keras begins the epoch anew, though the
    weights are those of its middle. So what comes next must not depend on the epoch.
    """

    first = 0

    def __len__(self):
        return STEPS_AN_EPOCH

    def __getitem__(self, index):
        rng = np.random.default_rng(self.first + index)
        x = rng.normal(size=(networks.BATCH, 12, 12, 1)).astype("float32")
        labels = (x[:, :6].mean((1, 2, 3)) > x[:, 6:].mean((1, 2, 3))).astype("int32")
        return x, labels


class GoOnAtTheStep(keras.callbacks.Callback):
    """Gives each epoch the minibatches from the current step on; ends with the last."""

    def __init__(self, batches, steps):
        super().__init__()
        self.batches, self.steps = batches, steps

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.first = steps_taken(self.model)

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = steps_taken(self.model) == self.steps


class TellBeginning(keras.callbacks.Callback):
    """Tells what a training begins with; behind what restores it."""

    def on_train_begin(self, logs=None):
        tell("begins", self.model)


class TellSteps(keras.callbacks.Callback):
    """Tells what each step has made; before what saves it."""

    def on_train_batch_end(self, batch, logs=None):
        tell("step", self.model)


class SaveModel(keras.callbacks.Callback):
    """`model.save` every few steps; a kill leaves the old file or the whole new one."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch, logs=None):
        if steps_taken(self.model) % STEPS_A_SAVE == 0:
            draft = self.path.with_name("draft.keras")
            self.model.save(draft)
            os.replace(draft, self.path)


def steps_taken(model):
    return int(model.optimizer.iterations.numpy()) if model.optimizer.built else 0


def tell(what, model):
    digest = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    print(json.dumps([what, steps_taken(model), digest.hexdigest()]), flush=True)


def any_saved(folder):
    return (folder / "model.keras").exists() or (folder / "backup").exists()


def new_model(steps):
    """Convolution and BatchNorm; its schedule, decay and rules depend on the step."""
    model = keras.Sequential(
        [
            keras.layers.Input((12, 12, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(networks.CLASSES),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        0.1, steps, warmup_target=1.0, warmup_steps=20
    )
    optimizer = FuzzyHess(schedule, probe_interval=4, weight_decay=0.01)
    model.compile(optimizer, networks.cross_entropy, jit_compile=False)
    return model


def main():
    way, folder, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    tf.config.experimental.enable_op_determinism()
    # What a process that goes on draws itself must not matter.
    keras.utils.set_random_seed(os.getpid() if any_saved(folder) else 0)
    model, saved = new_model(steps), folder / "model.keras"
    batches = Batches()
    on, plan = GoOnAtTheStep(batches, steps), FuzzyHessMonitor(set_total_steps=True)
    if way == "backup":
        backup = keras.callbacks.BackupAndRestore(
            folder / "backup", save_freq=STEPS_A_SAVE, double_checkpoint=True
        )
        callbacks = [TellSteps(), backup, TellBeginning(), plan, on]
    else:
        if saved.exists():
            model = keras.saving.load_model(saved)
        callbacks = [TellSteps(), SaveModel(saved), TellBeginning(), plan, on]
    model.fit(
        batches,
        epochs=steps // STEPS_AN_EPOCH,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    tell("ends", model)


if __name__ == "__main__":
    main()
