"""ImageNet from its two archives: the real ones, or `mini`'s of the same layout."""

import tarfile
from pathlib import Path

import mini_imagenet
import tensorflow_datasets as tfds
from image_source import ImageSource
from mini_imagenet import TRAIN_TAR, VALIDATION_TAR
from tfds_source import make_builder, prepare, tfds_source
from user_error import UserError

TRAINING_IMAGES = 1_281_167
VALIDATION_IMAGES = 50_000


def prepare_imagenet(builder, manual_dir: Path) -> None:
    """Prepares `imagenet2012` from its archives, after a look at both."""
    if not builder.is_prepared():
        check_archives(manual_dir)
        prepare(builder, tfds.download.DownloadConfig(manual_dir=manual_dir))


def incompleteness(source: ImageSource) -> str | None:
    """A sentence if there are fewer or more images than ImageNet has, else None."""
    found = (source.training_images, source.validation_images)
    if found == (TRAINING_IMAGES, VALIDATION_IMAGES):
        return None
    return (
        f"This is not all of ImageNet: {found[0]:,} training and {found[1]:,} "
        f"validation images instead of {TRAINING_IMAGES:,} and {VALIDATION_IMAGES:,}. "
        "If it should be, an archive is broken inside: check the MD5 sums that "
        "image-net.org states, remove what was prepared and run the same command again."
    )


def check_archives(folder: Path) -> None:
    """Whether both archives are there and whole, as far as their headers tell."""
    missing = [n for n in (TRAIN_TAR, VALIDATION_TAR) if not (folder / n).is_file()]
    if missing:
        raise UserError(
            f"ImageNet needs {TRAIN_TAR} (138 GB) and {VALIDATION_TAR} (6 GB) in "
            f"{folder}. Missing: {' and '.join(missing)}. Register at "
            "https://image-net.org/download-images, download them (ILSVRC2012, "
            "training images for tasks 1 and 2, validation images) and put them there "
            "as they are, or name their folder with --manual-dir. To try everything "
            "without them: --data mini."
        )
    for name, inside in ((TRAIN_TAR, ".tar"), (VALIDATION_TAR, ".JPEG")):
        problem = archive_problem(folder / name, inside)
        if problem:
            raise UserError(
                f"{folder / name} must be ImageNet's archive, whole. Received: a file "
                f"{problem}. Download it again; image-net.org states its MD5 sum."
            )


def archive_problem(path: Path, inside: str) -> str | None:
    """What is wrong with a tar, found from its members' headers; None if nothing.

    Python's tarfile takes a broken header for the end, and so would the builder.

    Args:
        path: The tar.
        inside: What the names of its members must end with.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            names = tar.getnames()
            end = tar.offset
    except tarfile.ReadError as error:
        return f"that is no whole tar archive ({error})"
    others = [name for name in names if not name.endswith(inside)]
    if others or not names:
        return f"with {others[0] if others else 'nothing'} instead of {inside} files"
    with path.open("rb") as file:
        file.seek(end)
        mark = file.read(1024)
    if len(mark) < 1024 or any(mark):
        return f"that breaks off or is broken after {len(names)} members, at byte {end}"
    return None


def open_mini(folder: Path) -> ImageSource:
    """The offline ImageNet, made and prepared by the real builder when first used.

    The builder declares ImageNet's thousand classes. Only those that there are images
    of become outputs, or 99 % of the last layer would never see an example.
    """
    builder = make_builder("imagenet2012", folder)
    if not builder.is_prepared():
        mini_imagenet.make_archives(folder / "archives")
        prepare_imagenet(builder, folder / "archives")
    return tfds_source(builder, "mini", mini_imagenet.classes())
