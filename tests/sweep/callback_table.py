"""How each callback of Keras is made, in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

from keras import callbacks

LEFT_OUT = {
    "CallbackList": "holds the others",
    "OrbaxCheckpoint": "needs a package that Keras does not require",
    "RemoteMonitor": "needs a server",
}

CALLBACKS: dict[str, Callable[[Path], callbacks.Callback]] = {
    "BackupAndRestore": lambda folder: callbacks.BackupAndRestore(folder),
    "CSVLogger": lambda folder: callbacks.CSVLogger(folder / "log.csv"),
    "Callback": lambda folder: callbacks.Callback(),
    "EarlyStopping": lambda folder: callbacks.EarlyStopping(
        "val_loss", restore_best_weights=True
    ),
    "History": lambda folder: callbacks.History(),
    "LambdaCallback": lambda folder: callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: None
    ),
    "LearningRateScheduler": lambda folder: callbacks.LearningRateScheduler(
        lambda epoch, rate: rate / 2
    ),
    "ModelCheckpoint": lambda folder: callbacks.ModelCheckpoint(
        folder / "{epoch}.keras"
    ),
    "ProgbarLogger": lambda folder: callbacks.ProgbarLogger(),
    "ReduceLROnPlateau": lambda folder: callbacks.ReduceLROnPlateau(
        "loss", patience=1, min_delta=1e9
    ),
    "SwapEMAWeights": lambda folder: callbacks.SwapEMAWeights(swap_on_epoch=True),
    "TensorBoard": lambda folder: callbacks.TensorBoard(
        folder, histogram_freq=1, write_images=True, update_freq="batch"
    ),
    "TerminateOnNaN": lambda folder: callbacks.TerminateOnNaN(),
}
