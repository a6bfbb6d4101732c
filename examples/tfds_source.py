"""Images of a TFDS data set, and what can be wrong with its name or with itself."""

import difflib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from image_source import ImageSource
from user_error import UserError

SPLITS = ("train", "validation")


def check_name(name: str) -> None:
    """TFDS would look for an unknown name on the network, for minutes."""
    known = tfds.list_builders(with_community_datasets=False)
    wanted = name.split("/")[0].split(":")[0]
    if wanted not in known:
        choices = [*known, "mini", "folder:PATH"]
        near = difflib.get_close_matches(wanted, choices, n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            "--data must be imagenet2012, mini, folder:PATH or the name of a TFDS data "
            f"set. Received: --data {name}. {hint}"
            "https://www.tensorflow.org/datasets/catalog lists them all."
        )


def make_builder(name: str, data_dir: Path) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError, tfds.core.DatasetNotFoundError) as error:
        raise UserError(
            f"TFDS must know the configuration and version asked for. Received: --data "
            f"{name}. It says: {error}"
        ) from error


def prepare(builder, download_config) -> None:
    """Prepares the data set; what goes wrong is told in a sentence, with its cause."""
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare(download_config=download_config)
    except Exception as error:
        says = " ".join(str(error).split())
        raise UserError(
            f"TFDS could not prepare {builder.name} in {builder.data_dir}: "
            f"{type(error).__name__}: {says}. Nothing half-finished is used; mend the "
            "cause and run the same command again."
        ) from error


def tfds_source(
    builder: tfds.core.DatasetBuilder, name: str, keep: list[str] | None = None
) -> ImageSource:
    """Images and labels of a prepared data set.

    Args:
        builder: Prepared.
        name: String.
        keep: Names of the classes that there are images of, for data with fewer
            classes than its builder declares; their labels are then numbered anew.
    """
    features = builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not isinstance(features, tfds.features.FeaturesDict) or not all(
        name in features.keys() and isinstance(features[name], kind)  # noqa: SIM118
        for name, kind in kinds.items()
    ):
        raise UserError(
            "The data set must have an `image` and a `label`, for classification. "
            f"Received: {name} with {features}. Choose another."
        )
    names = features["label"].names
    labels = np.full(len(names), -1, "int32")
    for label, kept in enumerate(keep or names):
        labels[names.index(kept)] = label
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(
            "The data set must have a split named train. "
            f"Received: {name} with {', '.join(splits) or 'no split'}. Choose another."
        )
    # Not `test`: ImageNet's has no labels, others' are for the very end.
    held_out = "validation" not in splits
    training, validation = ("train[:90%]", "train[90%:]") if held_out else SPLITS

    def encoded(for_training, seed, context):
        split = training if for_training else validation
        workers = context.num_input_pipelines
        # Files differ in length, but validation counts on equal shares.
        by_file = for_training and len(splits[split].filenames) >= workers > 1
        images = builder.as_dataset(
            split=split,
            shuffle_files=seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(
                shuffle_seed=seed,
                input_context=context if by_file else None,
                try_autocache=False,
                skip_prefetch=True,
            ),
        )
        if not by_file:
            images = images.shard(workers, context.input_pipeline_id)
        return images.map(lambda x: (x["image"], tf.gather(labels, x["label"])))

    return ImageSource(
        name=name,
        classes=len(keep or names),
        training_images=splits[training].num_examples,
        validation_images=splits[validation].num_examples,
        encoded=encoded,
    )
