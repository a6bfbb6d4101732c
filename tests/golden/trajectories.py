"""Thirty steps of each optimizer on three networks, as they were recorded once."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_fuzzyhess import FuzzyHess
from tests.helpers import networks

FILE = Path(__file__).parent / "trajectories.npz"
STEPS = 30
EVERY = 10
OPTIMIZERS = {
    "FuzzyHess": lambda: FuzzyHess(seed=0),
    "orthogonal": lambda: FuzzyHess(direction="orthogonal", seed=0),
    "diagonal": lambda: FuzzyHess(direction="diagonal", seed=0),
    "SALO": lambda: FuzzyHess.salo(),
}
NETWORKS = {
    "dense": networks.dense,
    "convolution": networks.convolution,
    "recurrent": networks.lstm,
}


class _Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = 0
        self.values = {}

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps % EVERY == 0:
            self.values[f"weights {self.steps}"] = _flat(self.model)
            diagnostics = self.model.optimizer.diagnostics
            self.values[f"diagnostics {self.steps}"] = np.array(
                [diagnostics[name] for name in sorted(diagnostics)]
            )


def trajectory(optimizer: str, network: str) -> dict[str, np.ndarray]:
    """Weights and diagnostics every ten steps, and the weights that `fit` leaves."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[network]()
    start = _flat(model)
    model.compile(OPTIMIZERS[optimizer](), networks.cross_entropy, jit_compile=False)
    x, y = networks.data(model, batches=STEPS)
    recorder = _Recorder()
    model.fit(
        x,
        y,
        batch_size=networks.BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    return recorder.values | {"start": start, "end": _flat(model)}


def recorded() -> Mapping[str, np.ndarray]:
    """What `python -m tests.golden` wrote."""
    return np.load(FILE)


def _flat(model: keras.Model) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])
