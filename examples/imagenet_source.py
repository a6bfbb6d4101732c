"""ImageNet from its two archives: the real ones, or `mini`'s of the same layout."""

import tarfile
from pathlib import Path

import mini_imagenet
import tensorflow_datasets as tfds
from image_source import ImageSource
from mini_imagenet import TRAIN_TAR, VALIDATION_TAR
from tfds_source import make_builder, prepare, tfds_source
from user_error import UserError


def prepare_imagenet(builder, manual_dir: Path) -> None:
    """Prepares `imagenet2012` from its archives, after a look at both."""
    if builder.is_prepared():
        return
    check_archives(manual_dir)
    prepare(builder, tfds.download.DownloadConfig(manual_dir=manual_dir))


def check_archives(folder: Path) -> None:
    """Whether both archives are there, begin as they must and have their end."""
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
    """What is wrong with a tar, found without reading its 138 GB; None if nothing.

    Args:
        path: The tar.
        inside: What the name of its first member must end with.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            first = tar.next()
    except tarfile.ReadError as error:
        return f"that is no tar archive ({error})"
    if first is None or not first.name.endswith(inside):
        found = "nothing" if first is None else first.name
        return f"that begins with {found} instead of a {inside} file"
    with path.open("rb") as file:
        file.seek(-1024, 2)
        if any(file.read()):
            return f"of {path.stat().st_size:,} bytes that ends before the archive does"
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
