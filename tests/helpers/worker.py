"""One of several worker processes that train together; `test_replicas` starts them.

python -m tests.helpers.worker RANK PORT,PORT OUTPUT
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_fuzzyhess import SALO, FuzzyHess
from tests.helpers import networks

STEPS = 20
OPTIMIZERS = {"fuzzyhess": FuzzyHess, "salo": SALO}


def train(optimizer, rank, strategy):
    """Trains for 20 steps of 16 samples with Keras's own training step.

    Keras's `fit` does not support several workers, with any optimizer.
    """
    # Every worker begins somewhere else; what the first one drew must count for all.
    keras.utils.set_random_seed(rank)
    with strategy.scope():
        model = networks.dense()
        model.compile(
            OPTIMIZERS[optimizer](), networks.cross_entropy, jit_compile=False
        )
        model.optimizer.build(model.trainable_variables)
    data = networks.data(model, STEPS)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(networks.BATCH)
    # Half of every batch to each worker; without it, each takes every other file.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )

    @tf.function
    def step(batch):
        strategy.run(model.train_step, args=(batch,))

    for batch in strategy.experimental_distribute_dataset(
        batches.with_options(options)
    ):
        step(batch)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return model


def main():
    rank, ports, output = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
            "task": {"type": "worker", "index": rank},
        }
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        )
    )
    weights = {}
    for optimizer in OPTIMIZERS:
        model = train(optimizer, rank, strategy)
        values = [*model.trainable_variables, *model.optimizer.variables]
        weights |= {f"{optimizer}{i:03}": v.numpy() for i, v in enumerate(values)}
    np.savez(output, **weights)


if __name__ == "__main__":
    main()
