"""Two replicas on the two logical CPUs that `conftest.py` makes."""

import functools

import tensorflow as tf


@functools.cache
def mirrored_strategy() -> tf.distribute.MirroredStrategy:
    """One for the process: the sums of two would get into each other's way."""
    cpus = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([cpu.name for cpu in cpus])
