"""Data that is missing or wrong is told in a sentence that says what to do."""

import shutil
import tarfile
import time

import imagenet_data
import mini_imagenet
import numpy as np
import pytest
import tensorflow as tf
from folder_source import open_folder
from imagenet_source import incompleteness
from PIL import Image
from user_error import UserError

TRAIN, VALIDATION = mini_imagenet.TRAIN_TAR, mini_imagenet.VALIDATION_TAR


@pytest.fixture(autouse=True)
def _within_seconds():
    """Whoever mistypes a name must not wait while TFDS tries the network again."""
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < 60


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    mini_imagenet.make_archives(folder)
    return folder


@pytest.fixture
def manual_dir(archives, tmp_path):
    return shutil.copytree(archives, tmp_path / "manual")


def open_imagenet(manual_dir):
    return imagenet_data.open_source(
        "imagenet2012", manual_dir.parent / "data", manual_dir
    )


def write_images(folder, count, kind="png"):
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.full((20, 30, 3), i, "uint8")
        Image.fromarray(pixels).save(folder / f"{i:02d}.{kind}")


def test_without_the_archives_it_says_where_to_get_and_put_them(tmp_path):
    with pytest.raises(UserError, match="image-net.org") as error:
        open_imagenet(tmp_path / "manual")
    for part in (TRAIN, VALIDATION, str(tmp_path / "manual"), "--data mini"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", [TRAIN, VALIDATION])
def test_with_one_archive_it_names_the_other(manual_dir, name):
    (manual_dir / name).unlink()
    with pytest.raises(UserError, match=f"Missing: {name}\\."):
        open_imagenet(manual_dir)


def break_last_header(path):
    with tarfile.open(path) as tar:
        place = tar.getmembers()[-1].offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"broken")


@pytest.mark.parametrize("name", [TRAIN, VALIDATION])
@pytest.mark.parametrize(
    "break_it, says",
    [
        (lambda path: path.write_text("<html>not found</html>"), "no whole tar"),
        (lambda path: path.write_bytes(b""), "no whole tar"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20_000]), "tar|breaks off"),
        (break_last_header, "broken after"),
    ],
    ids=["a page", "empty", "cut off", "broken inside"],
)
def test_a_broken_archive_is_named(manual_dir, name, break_it, says):
    break_it(manual_dir / name)
    with pytest.raises(UserError, match=f"(?s){name} must be .*({says})"):
        open_imagenet(manual_dir)


def test_an_archive_of_other_files_is_refused(manual_dir):
    shutil.copy(manual_dir / VALIDATION, manual_dir / TRAIN)
    with pytest.raises(UserError, match="instead of .tar files"):
        open_imagenet(manual_dir)


def test_a_class_that_imagenet_does_not_have_is_told(manual_dir):
    member = {"n00000000_1.JPEG": b"\xff\xd8\xff"}
    inner = mini_imagenet.archive(member)
    broken = mini_imagenet.archive({"n00000000.tar": inner})
    (manual_dir / TRAIN).write_bytes(broken)
    with pytest.raises(UserError, match=r"could not prepare imagenet2012.*n00000000"):
        open_imagenet(manual_dir)


def test_fewer_images_than_imagenet_has_are_told(manual_dir, capsys):
    source = open_imagenet(manual_dir)
    assert source.classes == 1000, "all that the builder declares"
    assert "400 training and 100 validation" in incompleteness(source)
    assert incompleteness(source) in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, near", [("imagenet2021", "imagenet2012"), ("minni", "mini"), ("qqqq", "")]
)
def test_a_mistyped_name_is_told_with_what_is_near(tmp_path, name, near):
    with pytest.raises(UserError, match=f"Received: --data {name}.*{near}") as error:
        imagenet_data.open_source(name, tmp_path)
    assert ("Did you mean" in str(error.value)) == bool(near)


@pytest.mark.parametrize("name", ["cifar10/nothing", "cifar10:9.9.9"])
def test_an_unknown_configuration_or_version_is_told(tmp_path, name):
    with pytest.raises(UserError, match="configuration and version"):
        imagenet_data.open_source(name, tmp_path)


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(UserError, match="--download"):
        imagenet_data.open_source("cifar10", tmp_path)


def test_a_folder_of_class_folders_holds_a_tenth_out(tmp_path):
    write_images(tmp_path / "cats", 20)
    write_images(tmp_path / "dogs", 11, "jpg")
    source = open_folder(tmp_path, "folder")
    assert (source.classes, source.training_images, source.validation_images) == (
        2,
        27,
        4,
    )
    splits = [
        [
            (encoded.numpy(), int(y))
            for encoded, y in source.encoded(
                training, None, tf.distribute.InputContext()
            )
        ]
        for training in (True, False)
    ]
    assert not set(splits[0]) & set(splits[1])
    assert [y for _, y in splits[1]] == [0, 0, 1, 1]


def test_a_folder_with_train_and_val_is_taken_as_it_is(tmp_path):
    for name in ("cats", "dogs"):
        write_images(tmp_path / "train" / name, 3)
        write_images(tmp_path / "val" / name, 1)
    source = imagenet_data.open_source(f"folder:{tmp_path}", tmp_path)
    assert (source.training_images, source.validation_images) == (6, 2)
    write_images(tmp_path / "val" / "birds", 1)
    with pytest.raises(UserError, match="birds in one of them"):
        open_folder(tmp_path, "folder")


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda folder: None, "no such folders"),
        (lambda folder: write_images(folder / "cats", 3), "only the class cats"),
        (lambda folder: (folder / "a").mkdir(), "too few in a"),
        (lambda folder: (folder / "train").mkdir(), "no such folders"),
    ],
    ids=["empty", "one class", "an empty class", "an empty train"],
)
def test_a_folder_without_classes_is_refused(tmp_path, make, says):
    make(tmp_path)
    with pytest.raises(UserError, match=f"{says}.*Put the images there"):
        open_folder(tmp_path, "folder")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="must name a folder"):
        imagenet_data.open_source(f"folder:{tmp_path}/nowhere", tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path):
    for name in ("cats", "dogs"):
        write_images(tmp_path / name, 2)
    broken = tmp_path / "dogs" / "01.png"
    broken.write_text("none")
    source = open_folder(tmp_path, "folder")
    with pytest.raises(tf.errors.InvalidArgumentError, match=str(broken)):
        list(source.encoded(True, None, tf.distribute.InputContext()))
