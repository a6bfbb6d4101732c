"""One device or many, by name."""

import os

import tensorflow as tf
from user_error import UserError

STRATEGIES = ("auto", "none", "mirrored", "multiworker", "tpu")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy that `--strategy` names; to be made before anything is computed.

    - `auto`: `mirrored` with more than one GPU, else `none`.
    - `none`: one device.
    - `mirrored`: all GPUs of this machine.
    - `multiworker`: all machines that the environment variable `TF_CONFIG` lists.
    - `tpu`: the TPU that `TPU_NAME` names, or this machine's own.

    Raises:
        UserError: if `TF_CONFIG` is not set, or no TPU is found.
    """
    if name == "auto":
        name = "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "none"
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        if "TF_CONFIG" not in os.environ:
            raise UserError(
                "--strategy multiworker needs the environment variable TF_CONFIG, "
                "which lists all workers and says which one this is. Received: none. "
                'Set it on every worker, e.g. TF_CONFIG=\'{"cluster": {"worker": '
                '["host0:12345", "host1:12345"]}, '
                '"task": {"type": "worker", "index": 0}}\'.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    tpu = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            "--strategy tpu needs a TPU, whose name is in TPU_NAME unless it is this "
            f"machine's own. Received: TPU_NAME={tpu}, and TensorFlow says: {error}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def worker_name(strategy: tf.distribute.Strategy) -> str | None:
    """None for the process that writes the result, else a name like `worker-1`."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    resolver = strategy.cluster_resolver
    kind, index = resolver.task_type, resolver.task_id
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return None if (kind, index) == (first, 0) else f"{kind}-{index}"


def has_several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether there is more than one process."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    cluster = strategy.cluster_resolver.cluster_spec()
    train = [job for job in ("chief", "worker") if job in cluster.jobs]
    return sum(map(cluster.num_tasks, train)) > 1


def check_same_epoch(
    strategy: tf.distribute.MultiWorkerMirroredStrategy, finished: int
) -> None:
    """Refuses workers that have restored different epochs: none could go on.

    One was killed while it wrote its backup, or its folder is lost.

    Args:
        strategy: All workers call this together.
        finished: How many epochs this process has restored.

    Raises:
        UserError: on all workers, if one has restored another number.
    """
    own = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant([finished])
    )
    found = sorted(set(strategy.gather(own, axis=0).numpy().tolist()))
    if len(found) > 1:
        raise UserError(
            "All workers must go on after the same epoch. Received: backups after "
            f"{' and '.join(map(str, found))} finished epochs. Copy `backup` and "
            "`log.csv` of the worker that has most into the folders of the others, and "
            "run the same command again."
        )
