"""Results of several runs beside one another: a table and a picture."""

import json
from pathlib import Path
from typing import Any

import matplotlib
from user_error import UserError

matplotlib.use("Agg")  # no display needed
from matplotlib import pyplot as plt

SAME = ("data", "model", "image_size", "epochs", "steps_per_epoch", "batch_size")
"""Settings that must agree, or the comparison is not one of optimizers."""

COLUMNS = {
    "loss": "{:.4f}",
    "val_loss": "{:.4f}",
    "accuracy": "{:.4f}",
    "val_accuracy": "{:.4f}",
    "val_top_5": "{:.4f}",
}


def read_results(paths: list[Path]) -> list[dict[str, Any]]:
    """The results that runs have left.

    Raises:
        UserError: if a file is not a result.
    """
    results = []
    for path in paths:
        try:
            result = json.loads(path.read_text())
            rows, settings = result["epochs"], result["settings"]
            row_of(result, rows[-1], settings["optimizer"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(
                "--compare takes files result.json that runs have left. Received: "
                f"{path}, {type(error).__name__}: {error}. Give the path of such a "
                "file; a run that is not finished has none yet."
            ) from error
        results.append(result)
    return results


def label(result: dict[str, Any]) -> str:
    settings = result["settings"]
    rate = settings["learning_rate"]
    parts = [settings["optimizer"], "" if rate is None else f"{rate:g}"]
    return " ".join(filter(None, [*parts, f"seed {settings['seed']}"]))


def row_of(result: dict[str, Any], last: dict[str, float], name: str) -> list[str]:
    return [
        name,
        *(form.format(last[column]) for column, form in COLUMNS.items()),
        f"{last['gradient_evaluations']:.0f}",
        f"{result['training_seconds']:.1f}",
        f"{result['images_per_second']:.1f}",
    ]


def differences(results: list[dict[str, Any]]) -> list[str]:
    """Sentences on the settings that should agree and do not."""
    sentences = []
    for name in SAME:
        values = [result["settings"][name] for result in results]
        if any(value != values[0] for value in values):
            sentences.append(
                f"Not comparable: --{name.replace('_', '-')} differs "
                f"({', '.join(map(str, dict.fromkeys(values)))})."
            )
    return sentences


def table(results: list[dict[str, Any]]) -> str:
    """A row a run, at its last epoch; the lowest validation loss first."""
    heads = ["run", *COLUMNS, "gradients", "seconds", "images/s"]
    ranked = sorted(results, key=lambda result: result["epochs"][-1]["val_loss"])
    rows = [heads, *(row_of(r, r["epochs"][-1], label(r)) for r in ranked)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Training loss, validation loss and accuracy over gradient evaluations."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    names = ("loss", "val_loss", "val_accuracy")
    titles = ("training loss", "validation loss", "validation accuracy")
    for axis, name, title in zip(axes, names, titles, strict=True):
        for result in results:
            gradients = [row["gradient_evaluations"] for row in result["epochs"]]
            values = [row[name] for row in result["epochs"]]
            axis.plot(gradients, values, marker=".", label=label(result))
        axis.set(title=title, xlabel="gradient evaluations")
    for axis in axes[:2]:
        axis.set_yscale("log")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def compare(paths: list[Path], output: Path) -> None:
    """Prints the table, writes `comparison.png` into the folder `output`."""
    results = read_results(paths)
    print(table(results))
    for sentence in differences(results):
        print(sentence)
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "comparison.png"
    draw(results, picture)
    print(picture.resolve())
