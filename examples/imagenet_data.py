"""From encoded images to minibatches, the same ones whenever a run is repeated.

What an epoch sees depends on the seed and the number of the epoch alone: the order of
files and images is shuffled by both, and the crop and the mirroring of an image are
drawn from both and its place in the epoch. So a run that was killed sees after its
restart what it would have seen.
"""

import time
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from folder_source import open_folder
from image_source import ImageSource
from imagenet_source import incompleteness, open_mini, prepare_imagenet
from tfds_source import check_name, make_builder, prepare, tfds_source
from user_error import UserError

SHUFFLE_BUFFER = 8192
"""Encoded images: 0.9 GB of ImageNet's."""

CROP_AREA = (0.08, 1.0)
CROP_ASPECT = (3 / 4, 4 / 3)
"""Width by height. Both ranges are those of Inception, which EfficientNet uses too."""

CENTRE_MARGIN = 32
"""The centre crop leaves a margin that would be so many pixels wide in all."""


def open_source(
    name: str, data_dir: Path, manual_dir: Path | None = None, download: bool = False
) -> ImageSource:
    """The source that `--data` names.

    Args:
        name: `"imagenet2012"`, `"mini"`, `"folder:PATH"` or the name of an image
            classification data set of TFDS, with configuration and version if wanted.
        data_dir: Where TFDS keeps what it has prepared.
        manual_dir: Folder of ImageNet's archives.
        download: Bool, whether a TFDS data set may be downloaded.

    Raises:
        UserError: if the data is not there, is broken or is not what it must be.
    """
    if name == "mini":
        return open_mini(data_dir / "mini_imagenet")
    if name.startswith("folder:"):
        return open_folder(Path(name.removeprefix("folder:")), name)
    check_name(name)
    builder = make_builder(name, data_dir)
    if builder.name == "imagenet2012":
        prepare_imagenet(builder, manual_dir or data_dir / "downloads" / "manual")
        source = tfds_source(builder, name)
        print(incompleteness(source) or "All of ImageNet is there.")
        return source
    if not builder.is_prepared():
        if not download:
            raise UserError(
                f"The data set {name} must have been prepared in {data_dir}. Received: "
                "no such data there. Give the folder that has it with --data-dir, or "
                "add --download to have TFDS download and prepare it."
            )
        prepare(builder, tfds.download.DownloadConfig(manual_dir=manual_dir))
    return tfds_source(builder, name)


# Minibatches.


def training_batches(
    source: ImageSource,
    image_size: int,
    batch_size: int,
    seed: int,
    epochs: range,
    steps: int,
    context: tf.distribute.InputContext,
) -> tf.data.Dataset:
    """The minibatches of several epochs, one after the other.

    Args:
        source: Where the images come from.
        image_size: Height and width of what the network sees.
        batch_size: Images of a step, over all replicas.
        seed: Integer.
        epochs: The epochs to come, numbered from 0.
        steps: Steps of an epoch.
        context: Which share of the images, and how many replicas share a minibatch.

    Returns:
        Dataset of `(images, labels)` for one replica: images float32 in [0, 255].
    """
    workers = context.num_input_pipelines
    share = steps * batch_size // workers

    def epoch_of_images(epoch):
        # Of the graph of this function, or the order would depend on the global seed.
        tf.random.set_seed(1)
        epoch_seed = seed * 1_000_003 + epoch
        images = source.encoded(True, epoch_seed, context)
        images = images.shuffle(SHUFFLE_BUFFER, seed=epoch_seed)
        # A worker's share of the files may be a few images short.
        images = images.repeat().take(share).enumerate()
        return images.map(lambda place, image: (epoch, place, *image))

    def example(epoch, place, encoded, label):
        place = place * workers + context.input_pipeline_id
        draw = tf.random.fold_in(tf.stack([tf.cast(seed, tf.int64), epoch]), place)
        return random_crop(encoded, image_size, draw), label

    images = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(epoch_of_images)
    images = images.map(example, tf.data.AUTOTUNE, deterministic=True)
    per_replica = context.get_per_replica_batch_size(batch_size)
    return finished(images.batch(per_replica, drop_remainder=True))


def validation_batches(
    source: ImageSource,
    image_size: int,
    batch_size: int,
    context: tf.distribute.InputContext,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Every validation image once, as `(images, labels)`, centre-cropped."""
    images = source.encoded(False, None, context).map(
        lambda encoded, label: (centre_crop(encoded, image_size), label),
        tf.data.AUTOTUNE,
        deterministic=True,
    )
    per_replica = context.get_per_replica_batch_size(batch_size)
    return finished(images.batch(per_replica, drop_remainder=drop_remainder))


def finished(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def images_per_second(batches: tf.data.Dataset, seconds: float = 3.0) -> float:
    """Rate of the input pipeline alone, after its first minibatch."""
    iterator = iter(batches)
    next(iterator)
    images = 0
    start = time.perf_counter()
    for batch, _ in iterator:
        images += len(batch)
        if time.perf_counter() - start > seconds:
            break
    return images / (time.perf_counter() - start)


# One image.


def random_crop(encoded: tf.Tensor, image_size: int, seed: tf.Tensor) -> tf.Tensor:
    """A random part of random shape, perhaps mirrored; decodes no more than that."""
    top_left, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        image_shape(encoded),
        tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=CROP_ASPECT,
        area_range=CROP_AREA,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([top_left[:2], size[:2]], axis=0)
    image = decode_window(encoded, window, image_size)
    mirrored = tf.random.fold_in(seed, 1)
    return tf.image.stateless_random_flip_left_right(image, mirrored)


def centre_crop(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """The middle of the image, a square."""
    shape = image_shape(encoded)[:2]
    share = image_size / (image_size + CENTRE_MARGIN)
    side = tf.cast(share * tf.cast(tf.reduce_min(shape), tf.float32), tf.int32)
    side = tf.maximum(side, 1)
    window = tf.concat([(shape - side) // 2, tf.stack([side, side])], axis=0)
    return decode_window(encoded, window, image_size)


def image_shape(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.image.extract_jpeg_shape(encoded),
        lambda: tf.shape(tf.io.decode_image(encoded, 3, expand_animations=False)),
    )


def decode_window(encoded: tf.Tensor, window: tf.Tensor, image_size: int) -> tf.Tensor:
    """`window` is top, left, height and width; float32 in [0, 255]."""

    def decode_all():
        image = tf.io.decode_image(encoded, 3, expand_animations=False)
        return tf.slice(image, [window[0], window[1], 0], [window[2], window[3], 3])

    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_and_crop_jpeg(encoded, window, channels=3),
        decode_all,
    )
    image = tf.image.resize(image, (image_size, image_size))
    return tf.ensure_shape(image, (image_size, image_size, 3))
