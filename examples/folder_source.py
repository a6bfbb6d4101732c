"""Images in a folder of class folders."""

from pathlib import Path

import tensorflow as tf
from image_source import ImageSource
from user_error import UserError

IMAGE_FILES = (".jpeg", ".jpg", ".png")

HELD_OUT = 10
"""Without validation images of their own, one in so many of a class validates."""


def open_folder(folder: Path, name: str) -> ImageSource:
    """`folder/train/CLASS/` and `folder/val/CLASS/`, or `folder/CLASS/` alone.

    In the second case every tenth image of a class validates.
    """
    if not folder.is_dir():
        raise UserError(
            f"folder:PATH must name a folder. Received: --data {name}, and {folder} is "
            "none. Correct the path."
        )
    if (folder / "train").is_dir():
        training = list_images(folder / "train")
        validation = list_images(folder / "val")
        if training.keys() != validation.keys():
            differing = sorted(training.keys() ^ validation.keys())
            raise UserError(
                f"{folder / 'train'} and {folder / 'val'} must have the same class "
                f"folders. Received: {', '.join(differing[:5])} in one of them only. "
                "Complete the other."
            )
    else:
        images = list_images(folder, at_least=2)
        training = {
            name: [p for i, p in enumerate(paths) if i % HELD_OUT]
            for name, paths in images.items()
        }
        validation = {name: paths[::HELD_OUT] for name, paths in images.items()}
    splits = {True: flatten(training), False: flatten(validation)}

    def encoded(for_training, seed, context):
        paths, labels = splits[for_training]
        images = tf.data.Dataset.from_tensor_slices((paths, labels))
        images = images.shard(context.num_input_pipelines, context.input_pipeline_id)
        if seed is not None:
            images = images.shuffle(len(paths), seed=seed)
        return images.map(lambda path, label: (read_image(path), label))

    return ImageSource(
        name=name,
        classes=len(training),
        training_images=len(splits[True][0]),
        validation_images=len(splits[False][0]),
        encoded=encoded,
    )


def read_image(path: tf.Tensor) -> tf.Tensor:
    """The bytes of a file; fails with its name if it is none of `IMAGE_FILES`."""
    content = tf.io.read_file(path)
    known = tf.io.is_jpeg(content) | (tf.strings.substr(content, 0, 4) == b"\x89PNG")
    message = ["No JPEG or PNG file; remove it or replace it:", path]
    with tf.control_dependencies([tf.debugging.Assert(known, message)]):
        return tf.identity(content)


def list_images(folder: Path, at_least: int = 1) -> dict[str, list[str]]:
    """Sorted paths of the images in each class folder."""
    classes = {}
    if folder.is_dir():
        for child in sorted(child for child in folder.iterdir() if child.is_dir()):
            paths = [p for p in child.rglob("*") if p.suffix.lower() in IMAGE_FILES]
            classes[child.name] = sorted(map(str, paths))
    short = [name for name, paths in classes.items() if len(paths) < at_least]
    if len(classes) < 2 or short:
        found = f"too few in {', '.join(short[:5])}" if short else "no such folders"
        if len(classes) == 1 and not short:
            found = f"only the class {next(iter(classes))}"
        raise UserError(
            f"{folder} must be a folder of two or more folders, each of one class and "
            f"with {at_least} or more images ({', '.join(IMAGE_FILES)}). "
            f"Received: {found}. Put the images there, or correct the path."
        )
    return classes


def flatten(classes: dict[str, list[str]]) -> tuple[list[str], list[int]]:
    """Paths and labels; classes are numbered in the order of their names."""
    paths = [path for name in sorted(classes) for path in classes[name]]
    labels = [i for i, name in enumerate(sorted(classes)) for _ in classes[name]]
    return paths, labels
