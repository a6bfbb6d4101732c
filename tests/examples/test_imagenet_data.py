"""The images of the ImageNet example: the archives, the order, the crops."""

import tarfile

import imagenet_data
import mini_imagenet
import numpy as np
import pytest
import tensorflow as tf
from folder_source import open_folder
from PIL import Image

ALONE = tf.distribute.InputContext()


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """Made from photographs and prepared by TFDS's own builder of ImageNet."""
    return imagenet_data.open_source("mini", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    mini_imagenet.make_archives(folder)
    return folder


def training(source, epochs, seed=0, batch_size=40, steps=10, context=ALONE, size=32):
    return imagenet_data.training_batches(
        source, size, batch_size, seed, epochs, steps, context
    )


def as_arrays(batches):
    return [(x.numpy(), y.numpy()) for x, y in batches]


def same(some, others):
    return len(some) == len(others) and all(
        np.array_equal(a, b)
        for pair, other in zip(some, others, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


def test_archives_have_the_layout_of_the_real_ones(archives):
    with tarfile.open(archives / "ILSVRC2012_img_train.tar") as outer:
        names = outer.getnames()
        assert len(names) == 10 and names == sorted(names)
        with tarfile.open(fileobj=outer.extractfile(names[0])) as inner:
            first = inner.getnames()[0]
            assert first.startswith(names[0].removesuffix(".tar") + "_")
            assert first.endswith(".JPEG")
    with tarfile.open(archives / "ILSVRC2012_img_val.tar") as tar:
        members = tar.getmembers()
        assert members[0].name == "ILSVRC2012_val_00000001.JPEG"
        assert sum(member.isfile() for member in members) == 100


def test_archives_are_always_the_same(archives, tmp_path):
    mini_imagenet.make_archives(tmp_path)
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        assert (tmp_path / name).read_bytes() == (archives / name).read_bytes()


def test_the_real_builder_gives_every_class_its_images(mini):
    assert (mini.classes, mini.training_images, mini.validation_images) == (
        10,
        400,
        100,
    )
    for for_training, each in ((True, 40), (False, 10)):
        labels = [int(y) for _, y in mini.encoded(for_training, None, ALONE)]
        assert np.bincount(labels).tolist() == [each] * 10


def test_label_is_the_photograph(mini):
    """Classes are numbered in the order of the photographs; colours tell them apart."""
    means = {label: [] for label in range(10)}
    for encoded, label in mini.encoded(False, None, ALONE):
        pixels = tf.io.decode_jpeg(encoded).numpy()
        means[int(label)].append(pixels.mean(axis=(0, 1)))
    photographs = [
        image[:, image.shape[1] * 2 // 3 :] for image in mini_imagenet.photographs()
    ]
    for label, photograph in enumerate(photographs):
        expected = photograph.mean(axis=(0, 1))
        assert np.abs(np.mean(means[label], axis=0) - expected).max() < 35, label


def test_an_epoch_has_every_image_once(mini):
    labels = np.concatenate([y for _, y in as_arrays(training(mini, range(1)))])
    assert np.bincount(labels).tolist() == [40] * 10


@pytest.mark.slow
def test_an_epoch_is_the_same_whenever_it_is_trained(mini):
    three = as_arrays(training(mini, range(3)))
    tf.random.set_seed(5)
    third = as_arrays(training(mini, range(2, 3)))
    assert same(three[20:], third)
    assert not same(three[:10], three[10:20])
    assert not same(three[:10], as_arrays(training(mini, range(1), seed=1)))


def test_images_are_not_cropped_alike_in_two_epochs(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(2):
            pixels = rng.integers(0, 255, (40, 50, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    source = open_folder(tmp_path, "folder")
    ((first, _), (second, _)) = as_arrays(
        training(source, range(2), batch_size=2, steps=1)
    )
    for image in first:
        assert not any(np.array_equal(image, other) for other in second)


def test_workers_share_the_images(mini):
    shares = []
    for worker in range(2):
        context = tf.distribute.InputContext(2, worker, 2)
        images = mini.encoded(True, tf.constant(3, tf.int64), context)
        shares.append({encoded.numpy() for encoded, _ in images})
    assert not shares[0] & shares[1]
    assert len(shares[0] | shares[1]) == 400
    batches = as_arrays(
        training(mini, range(1), batch_size=50, steps=8, context=context)
    )
    assert [len(y) for _, y in batches] == [25] * 8


def test_replicas_share_a_minibatch(mini, two_replicas):
    alone = as_arrays(training(mini, range(1), steps=2))
    shared = two_replicas.distribute_datasets_from_function(
        lambda context: training(mini, range(1), steps=2, context=context)
    )
    for (x, y), (xs, ys) in zip(alone, shared, strict=True):
        results = two_replicas.experimental_local_results
        assert np.array_equal(x, np.concatenate([r.numpy() for r in results(xs)]))
        assert np.array_equal(y, np.concatenate([r.numpy() for r in results(ys)]))


def test_validation_has_every_image_once_in_order(mini):
    batches = as_arrays(imagenet_data.validation_batches(mini, 32, 40, ALONE))
    assert [len(y) for _, y in batches] == [40, 40, 20]
    stored = [int(y) for _, y in mini.encoded(False, None, ALONE)]
    assert np.concatenate([y for _, y in batches]).tolist() == stored


def test_centre_crop_is_the_middle_of_the_shorter_side():
    pixels = np.random.default_rng(0).integers(0, 255, (96, 160, 3), "uint8")
    encoded = tf.io.encode_png(pixels)
    # 64 of 64 + 32 pixels, so that nothing is scaled.
    crop = imagenet_data.centre_crop(encoded, 64)
    assert np.array_equal(crop, pixels[16:80, 48:112])


def test_random_crop_of_a_jpeg_decodes_what_decoding_all_shows():
    smooth = np.indices((90, 120)).transpose(1, 2, 0).astype("uint8") * 2
    pixels = np.concatenate([smooth, smooth[..., :1]], axis=-1)
    for draw in range(5):
        crops = [
            imagenet_data.random_crop(encoded, 48, tf.constant([draw, 7])).numpy()
            for encoded in (
                tf.io.encode_jpeg(pixels, quality=100),
                tf.io.encode_png(pixels),
            )
        ]
        assert np.abs(crops[0] - crops[1]).max() < 6


def test_random_crops_vary_in_place_size_and_direction():
    columns = np.broadcast_to(
        np.arange(200, dtype="uint8")[None, :, None], (200, 200, 3)
    )
    encoded = tf.io.encode_png(columns)
    crops = [
        imagenet_data.random_crop(encoded, 16, tf.constant([0, i])).numpy()[0, :, 0]
        for i in range(40)
    ]
    widths = [abs(crop[-1] - crop[0]) for crop in crops]
    assert max(widths) > 2 * min(widths)
    mirrored = sum(crop[-1] < crop[0] for crop in crops)
    assert 8 <= mirrored <= 32


def test_rate_is_of_images():
    batches = tf.data.Dataset.range(1000).map(lambda i: (tf.zeros((8, 2)), i))
    rate = imagenet_data.images_per_second(batches, seconds=0.2)
    assert rate > 100
