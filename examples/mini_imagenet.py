"""A small offline ImageNet in the layout of the two real archives.

Ten colour photographs that scikit-image and scikit-learn carry in their wheels stand
for ten of ImageNet's classes. An image is a square cut out of a photograph: training
images come from its left two thirds, validation images from its right third, so that
no pixel is in both.

    ILSVRC2012_img_train.tar    n01580077.tar ...           one archive a class
      n01580077.tar             n01580077_0.JPEG ...
    ILSVRC2012_img_val.tar      ILSVRC2012_val_00000017.JPEG ...

As in the real archive, a validation image's number decides its label. The builder finds
the label by the name's place among all sorted names, so the numbers of other classes
are there too, as empty folders.
"""

import io
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import skimage.data
import tensorflow_datasets as tfds
from atomic_write import write_atomically
from PIL import Image
from sklearn.datasets import load_sample_images

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_TAR = "ILSVRC2012_img_val.tar"

TRAINING_IMAGES = 40
"""Of each class."""

VALIDATION_IMAGES = 10
"""Of each class."""

IN_SCIKIT_IMAGE = [
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
]
"""Read as files: the functions of `skimage.data` may start to download."""


def photographs() -> list[np.ndarray]:
    """Ten colour photographs, `(height, width, 3)`, from 300 to 1411 pixels high."""
    folder = Path(skimage.data.data_dir)
    images = [
        np.asarray(Image.open(folder / name).convert("RGB")) for name in IN_SCIKIT_IMAGE
    ]
    return images + load_sample_images().images


def validation_numbers(classes: int, images: int) -> dict[str, list[int]]:
    """The classes whose first images come first in ImageNet's validation archive.

    Args:
        classes: Integer, how many classes.
        images: Integer, how many images of each.

    Returns:
        Dict from the class (`n01580077`) to the numbers of its first images; numbers
        begin at 1.
    """
    labels = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt")
    numbers = defaultdict(list)
    complete = {}
    for number, name in enumerate(labels.read_text().split(), start=1):
        numbers[name].append(number)
        if len(numbers[name]) == images:
            complete[name] = list(numbers[name])
            if len(complete) == classes:
                return complete
    raise ValueError(
        f"ImageNet must have {classes} classes of {images} validation images. "
        f"Received: {len(complete)} in {labels}"
    )


def classes() -> list[str]:
    """The classes that the photographs stand for, sorted as ImageNet's labels are."""
    return sorted(validation_numbers(len(photographs()), VALIDATION_IMAGES))


def square(region: np.ndarray, rng: np.random.Generator) -> bytes:
    """JPEG of a random square of half to all of the region's shorter side."""
    height, width = region.shape[:2]
    side = rng.integers(min(height, width) // 2, min(height, width), endpoint=True)
    top = rng.integers(height - side, endpoint=True)
    left = rng.integers(width - side, endpoint=True)
    encoded = io.BytesIO()
    image = Image.fromarray(region[top : top + side, left : left + side])
    image.save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def make_archives(folder: Path) -> None:
    """Writes both archives into `folder`; always the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    images = photographs()
    numbers = validation_numbers(len(images), VALIDATION_IMAGES)
    rng = np.random.default_rng(0)
    train, validation = {}, {}
    for name, image in zip(sorted(numbers), images, strict=True):
        border = image.shape[1] * 2 // 3
        left, right = image[:, :border], image[:, border:]
        train[f"{name}.tar"] = archive(
            {f"{name}_{i}.JPEG": square(left, rng) for i in range(TRAINING_IMAGES)}
        )
        for number in numbers[name]:
            validation[number] = square(right, rng)
    write_atomically(folder / TRAIN_TAR, archive(train))
    everyone = range(1, max(validation) + 1)
    members = {validation_name(n): validation.get(n) for n in everyone}
    write_atomically(folder / VALIDATION_TAR, archive(members))


def validation_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def archive(members: Mapping[str, bytes | None]) -> bytes:
    """A tar of files; None makes an empty folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
