r"""EfficientNet on ImageNet with FuzzyHess, SALO, SGD, Adam or AdamW, from one command.

With the two archives of ImageNet in a folder, the paper's headline is

    python examples/imagenet.py --manual-dir FOLDER --model EfficientNetB3 \
        --optimizer fuzzyhess --epochs 100 --batch-size 256 --output results/fuzzyhess

and without them, on ten photographs in the same layout, in minutes

    python examples/imagenet.py --data mini --model EfficientNetB0 --image-size 96 \
        --optimizer fuzzyhess --epochs 5 --output results/mini_fuzzyhess

A run that was killed goes on where it was when the same command is given again.

    python examples/imagenet.py --compare results/*/result.json
"""

import argparse
import os
import platform
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import imagenet_data
import keras
import tensorflow as tf
from multi_worker_fit import let_fit_run_on_workers
from networks import IMAGE_SIZES, build_network
from recipes import OPTIMIZERS, Plan, make_optimizer
from run_callbacks import QUALITY, make_callbacks
from run_folder import RunFolder
from strategies import (
    STRATEGIES,
    check_same_epoch,
    has_several_workers,
    make_strategy,
    worker_name,
)
from user_error import UserError

WHERE = ("data_dir", "manual_dir", "download", "output", "compare")
"""Arguments that do not decide what is trained."""


class Help(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Commands as they are written above, and all defaults."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    add = parser.add_argument
    add(
        "--model", choices=IMAGE_SIZES, default="EfficientNetB3", help="what is trained"
    )
    add("--optimizer", choices=OPTIMIZERS, default="fuzzyhess", help=" ")
    add("--learning-rate", type=float, help="default: the optimizer's recipe")
    add("--data", default="imagenet2012", help="or mini, folder:PATH, a TFDS name")
    add("--data-dir", type=Path, default=Path.home() / "tensorflow_datasets")
    add("--manual-dir", type=Path, help="of the archives; DATA_DIR/downloads/manual")
    add("--download", action="store_true", help="let TFDS download what is missing")
    add("--image-size", type=int, help="default: what the model was designed for")
    add("--batch-size", type=int, default=256, help="over all devices")
    add("--epochs", type=int, default=100, help="of the whole run")
    add("--steps-per-epoch", type=int, help="default: all images once")
    add("--seed", type=int, default=0, help="of weights and data")
    add("--strategy", choices=STRATEGIES, default="auto")
    add("--precision", choices=("float32", "mixed_bfloat16"), default="float32")
    add("--jit-compile", action="store_true", help="compile the step with XLA")
    add(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        help="the same bits in every run; default: on one device that is no GPU",
    )
    add("--output", type=Path, default=Path("results/imagenet"), help="of the run")
    add("--compare", type=Path, nargs="+", metavar="JSON", help="results of runs")
    parsed = parser.parse_args(arguments)
    for name in ("image_size", "batch_size", "epochs", "steps_per_epoch"):
        value = getattr(parsed, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1: {value}")
    if parsed.seed < 0:
        parser.error(f"--seed must be at least 0: {parsed.seed}")
    if parsed.image_size is None:
        parsed.image_size = IMAGE_SIZES[parsed.model]
    if parsed.deterministic is None:
        # On a GPU it costs speed.
        parsed.deterministic = parsed.strategy in ("auto", "none") and not (
            tf.config.list_physical_devices("GPU")
        )
    return parsed


def steps_of_epoch(arguments, source, strategy) -> int:
    """How many steps an epoch has.

    Raises:
        UserError: if a minibatch has more images than there are, or cannot be shared.
    """
    replicas = strategy.num_replicas_in_sync
    if arguments.batch_size % replicas:
        raise UserError(
            f"--batch-size must be a multiple of the {replicas} devices. "
            f"Received: --batch-size {arguments.batch_size}. Round it."
        )
    if arguments.batch_size > source.training_images:
        raise UserError(
            f"--batch-size must be at most the {source.training_images} training "
            f"images. Received: --batch-size {arguments.batch_size}. Choose less."
        )
    if replicas > 1 and arguments.batch_size > source.validation_images:
        raise UserError(
            f"--batch-size must be at most the {source.validation_images} validation "
            "images on several devices, which validate on whole minibatches. "
            f"Received: --batch-size {arguments.batch_size}. Choose less."
        )
    return arguments.steps_per_epoch or source.training_images // arguments.batch_size


def compiled_model(arguments, classes: int, steps: int) -> keras.Model:
    plan = Plan(arguments.batch_size, steps * arguments.epochs, arguments.seed)
    model = build_network(arguments.model, arguments.image_size, classes)
    model.compile(
        optimizer=make_optimizer(arguments.optimizer, plan, arguments.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top_5"),
        ],
        jit_compile=arguments.jit_compile,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def train(arguments) -> None:
    """One run, from its beginning or from where it was killed."""
    strategy = make_strategy(arguments.strategy)
    if arguments.deterministic:
        tf.config.experimental.enable_op_determinism()
        # It rewrites a graph as large as EfficientNet's with its probes a little
        # differently in every process, and then sums round differently.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    keras.config.set_dtype_policy(arguments.precision)
    source = imagenet_data.open_source(
        arguments.data, arguments.data_dir, arguments.manual_dir, arguments.download
    )
    # Not before: preparing data draws random numbers too.
    keras.utils.set_random_seed(arguments.seed)
    steps = steps_of_epoch(arguments, source, strategy)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in WHERE
    }
    worker = worker_name(strategy)
    folder = RunFolder(arguments.output / (worker or ""), settings)
    with strategy.scope():
        model = compiled_model(arguments, source.classes, steps)
    first_epoch = folder.restore(model, steps)
    if has_several_workers(strategy):
        check_same_epoch(strategy, first_epoch)
        let_fit_run_on_workers(model, strategy)
    print(
        f"{source.name}: {source.training_images} training and "
        f"{source.validation_images} validation images of {source.classes} classes\n"
        f"{model.name}: {model.count_params():,} parameters, {arguments.optimizer}, "
        f"{strategy.num_replicas_in_sync} device(s), {steps} steps an epoch"
    )
    if first_epoch:
        print(f"Goes on after {first_epoch} of {arguments.epochs} epochs")

    def training(context, epochs=range(first_epoch, arguments.epochs)):
        return imagenet_data.training_batches(
            source,
            arguments.image_size,
            arguments.batch_size,
            arguments.seed,
            epochs,
            steps,
            context,
        )

    # A replica without any image fails, and a TPU needs equal shapes.
    whole_batches = strategy.num_replicas_in_sync > 1
    validation_steps = None
    if whole_batches:
        # Not to the end of the data: Keras tries one step more, and a replica may add
        # the images of a minibatch that it does not get to those it has counted.
        validation_steps = source.validation_images // arguments.batch_size
        left_out = source.validation_images % arguments.batch_size
        print(f"Validation leaves out the last {left_out} images, no whole minibatch")

    def validation(context):
        batches = imagenet_data.validation_batches(
            source,
            arguments.image_size,
            arguments.batch_size,
            context,
            drop_remainder=whole_batches,
        )
        # Before it begins anew, Keras takes one more than `validation_steps`.
        return batches.repeat() if whole_batches else batches

    pipeline_rate = imagenet_data.images_per_second(
        training(tf.distribute.InputContext(), range(1000))
    )
    print(f"Input pipeline alone: {pipeline_rate:.0f} images a second")
    model.fit(
        strategy.distribute_datasets_from_function(training),
        validation_data=strategy.distribute_datasets_from_function(validation),
        epochs=arguments.epochs,
        steps_per_epoch=steps,
        validation_steps=validation_steps,
        shuffle=False,  # the data set does it itself
        callbacks=make_callbacks(
            folder, model.optimizer, arguments.seed, steps * arguments.batch_size
        ),
        verbose=1 if sys.stdout.isatty() else 2,
    )
    model.save(folder.final)
    if worker:
        folder.forget_backup()
        return
    result = {
        "settings": settings,
        "data": {
            "classes": source.classes,
            "training_images": source.training_images,
            "validation_images": source.validation_images,
        },
        "environment": environment(strategy),
        "parameters": model.count_params(),
        "pipeline_images_per_second": pipeline_rate,
        **summary(folder.read_log(), steps),
    }
    folder.finish(result)
    print(comparison.table([result]))
    print(folder.result.resolve())


def summary(log: list[dict[str, float]], steps: int) -> dict:
    """What the epochs' logs say of the run as a whole.

    Args:
        log: A dict an epoch.
        steps: Steps of an epoch.
    """
    for row in log:
        row["gradient_evaluations"] = steps * (row["epoch"] + 1) + row.get("probes", 0)
    return {
        "epochs": log,
        "best_epoch": max(log, key=lambda row: row[QUALITY])["epoch"],
        "training_seconds": sum(row["seconds"] for row in log),
        # The first epoch's includes the tracing.
        "images_per_second": statistics.median(r["images_per_second"] for r in log),
    }


def environment(strategy: tf.distribute.Strategy) -> dict:
    devices = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices(
        "CPU"
    )
    return {
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "devices": [
            tf.config.experimental.get_device_details(d).get("device_name", d.name)
            for d in devices
        ],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def main() -> None:
    arguments = parse()
    try:
        if arguments.compare:
            comparison.compare(arguments.compare, arguments.output)
        else:
            train(arguments)
    except UserError as error:
        sys.exit(f"imagenet.py: {error}")


if __name__ == "__main__":
    main()
