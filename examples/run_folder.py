"""The folder of a run: its settings, its log and the backup that it goes on from."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import keras
from atomic_write import write_atomically
from user_error import UserError

# The names that `keras.callbacks.BackupAndRestore` uses.
WEIGHTS = "latest.weights.h5"
METADATA = "training_metadata.json"


class RunFolder:
    """Files of one run.

    Args:
        path: The folder; made if there is none.
        settings: Dict of what decides the run's outcome. A run that was interrupted
            goes on with the same settings only, or it would be neither's.

    Raises:
        UserError: if the run is finished already, or was begun with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]):
        self.path = path
        self.result = path / "result.json"
        self.log = path / "log.csv"
        self.backup = path / "backup"
        self.best = path / "best.keras"
        self.final = path / "final.keras"
        self.tensorboard = path / "tensorboard"
        if self.result.exists():
            raise UserError(
                f"--output must not hold a finished run. Received: {path}, which has "
                f"{self.result.name}. Choose another folder, or remove this one."
            )
        record = path / "settings.json"
        if self.backup.exists() and record.exists():
            before = json.loads(record.read_text())
            changes = [
                f"--{name.replace('_', '-')} {before.get(name)} (now {value})"
                for name, value in settings.items()
                if before.get(name) != value
            ]
            if changes:
                raise UserError(
                    "An interrupted run must go on with the settings it began with. "
                    f"Received: {path}, begun with {', '.join(changes)}. Give the same "
                    "again, or choose another --output."
                )
        path.mkdir(parents=True, exist_ok=True)
        write_json(record, settings)

    def restore(self, model: keras.Model, steps: int) -> int:
        """Loads the backup, if there is one.

        Keras writes the weights first and the number of the epoch after them. A run
        that was killed in between would train this epoch twice, so the number is taken
        from the optimizer's steps, which are among the weights.

        Args:
            model: Built and compiled, its optimizer built.
            steps: Steps of an epoch.

        Returns:
            How many epochs are finished.
        """
        weights = self.backup / WEIGHTS
        for candidate in (weights, self.backup / f"{WEIGHTS}.bkp"):
            if not candidate.exists():
                continue
            if candidate != weights:
                shutil.copy(candidate, weights)
            try:
                model.load_weights(weights)
            except OSError:  # killed while it was being written
                continue
            epochs = (
                int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps
            )
            write_json(self.backup / METADATA, {"epoch": epochs, "batch": 0})
            self._forget_epochs_from(epochs)
            return epochs
        shutil.rmtree(self.backup, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        return 0

    def _forget_epochs_from(self, epoch: int) -> None:
        """Drops rows of an epoch that was logged but not backed up."""
        with self.log.open(newline="") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            rows = [row for row in reader if int(row["epoch"]) < epoch]
        kept = io.StringIO(newline="")
        writer = csv.DictWriter(kept, names)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.log, kept.getvalue().encode())

    def read_log(self) -> list[dict[str, float]]:
        """A dict an epoch, of all epochs since the run began."""
        if not self.log.exists():
            return []
        with self.log.open(newline="") as file:
            return [
                {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]

    def finish(self, result: dict[str, Any]) -> None:
        """Writes the result; only then is the backup no longer needed."""
        write_json(self.result, result)
        self.forget_backup()

    def forget_backup(self) -> None:
        shutil.rmtree(self.backup, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2).encode())
