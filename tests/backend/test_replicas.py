"""Several replicas take the step that one would take, and stay alike."""

import collections
import contextlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow.python.tpu.tpu_system_metadata import TPUSystemMetadata

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.backend.replicas import all_reduce_sum, cond_in_every_replica
from tests.helpers import networks, worker
from tests.helpers.fast import each_value_fast, first_fast
from tests.helpers.processes import free_ports


def fit(model, batches):
    data = networks.data(model, batches)
    batched = tf.data.Dataset.from_tensor_slices(data).batch(networks.BATCH)
    model.fit(batched, verbose=0, shuffle=False)
    return model


def compiled(optimizer, scope, network=networks.dense):
    keras.utils.set_random_seed(0)
    with scope:
        model = network()
        model.compile(optimizer(), networks.cross_entropy, jit_compile=False)
    return model


def distance(a, b):
    """Distance of two lists of weights, relative to their size."""
    zero = [np.zeros(x.shape) for x in a]
    return networks.relative_error(a, b, zero)


def assert_alike(variables):
    """All replicas hold the same bits."""
    for variable in variables:
        first, second = (copy.numpy() for copy in variable.value.values)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


@first_fast(optimizer=[FuzzyHess, SALO])
def test_gradients_are_clipped_after_they_are_summed(optimizer, two_replicas):
    """As one replica with the whole batch clips them."""
    one, two = (
        fit(compiled(lambda: optimizer(global_clipnorm=0.1), scope), batches=20)
        for scope in (contextlib.nullcontext(), two_replicas.scope())
    )
    assert distance(two.get_weights(), one.get_weights()) < 1e-5


@pytest.mark.slow
@first_fast(optimizer=[FuzzyHess, SALO])
def test_replicas_stay_alike_for_100_steps(optimizer, two_replicas):
    """Also where each replica draws noise of its own."""
    model = compiled(optimizer, two_replicas.scope(), networks.convolution)
    start = model.get_weights()
    fit(model, 100)
    assert distance(model.get_weights(), start) > 0.1
    assert_alike([*model.trainable_variables, *model.optimizer.variables])


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path):
    """Processes on the loopback address, which begin with different seeds."""
    ports = ",".join(map(str, free_ports(2)))
    outputs = [tmp_path / f"worker{rank}.npz" for rank in range(2)]
    module = (sys.executable, "-m", "tests.helpers.worker")
    workers = [
        subprocess.Popen(
            [*module, str(rank), ports, str(output)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, output in enumerate(outputs)
    ]
    try:
        for each in workers:
            _, errors = each.communicate(timeout=150)
            assert each.returncode == 0, errors
            assert "AutoGraph could not transform" not in errors
    finally:
        for each in workers:
            each.kill()
            each.communicate()
    first, second = (np.load(output) for output in outputs)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for optimizer in worker.OPTIMIZERS:
        alone = worker.train(optimizer, 0, tf.distribute.get_strategy())
        together = [first[name] for name in first if name.startswith(optimizer)]
        weights = alone.get_weights()
        # Sums in another order, which bases of few gradients show more of.
        tolerance = {"fuzzyhess": 2e-5, "salo": 1e-5}[optimizer]
        assert distance(together[: len(weights)], weights) < tolerance, optimizer
        assert alone.optimizer.diagnostics["probes"] > 0


def test_sums_inside_nested_branches(two_replicas):
    with two_replicas.scope():
        total = tf.Variable(0.0)

    def branch(sign):
        def take():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            total.assign(sign * all_reduce_sum(tf.cast(replica + 1, tf.float32)))

        return take

    @tf.function
    def step(outer, inner):
        def take():
            cond_in_every_replica(inner, branch(1.0), branch(-1.0))

        two_replicas.run(lambda: cond_in_every_replica(outer, take, branch(10.0)))

    for outer, inner, expected in ((1, 1, 3.0), (1, 0, -3.0), (0, 1, 30.0)):
        step(tf.constant(bool(outer)), tf.constant(bool(inner)))
        assert [float(copy) for copy in total.values] == [expected] * 2


@pytest.fixture
def tpu_strategy():
    """TensorFlow's own strategy, told of two TPUs, with its variables on two CPUs.

    There is no TPU here: it serves for tracing only.
    """
    Device = collections.namedtuple("Device", "name")
    names = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]

    class Cluster:
        def get_tpu_system_metadata(self):
            tpus = [Device(name.replace("CPU", "TPU")) for name in names]
            return TPUSystemMetadata(2, 1, 2, None, tpus)

    strategy = tf.distribute.TPUStrategy(Cluster())
    strategy.extended._tpu_devices = np.array([[name] for name in names], object)
    return strategy


@each_value_fast(optimizer=[FuzzyHess, SALO], packed=[True, False])
def test_a_step_is_traced_for_tpus(optimizer, packed, tpu_strategy):
    """All of it in operations that XLA can compile; whether it runs is not known."""
    tpu_strategy._enable_packed_variable_in_eager_mode = packed
    model = compiled(optimizer, tpu_strategy.scope(), networks.convolution)
    with tpu_strategy.scope():
        model.optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        tpu_strategy.run(model.train_step, args=((x, y),))

    x = tf.TensorSpec((8, *model.input_shape[1:]))
    graph = step.get_concrete_function(x, tf.TensorSpec((8,), tf.int32)).graph
    definition = graph.as_graph_def()
    functions = [f.node_def for f in definition.library.function]
    types = collections.Counter(
        node.op for nodes in (definition.node, *functions) for node in nodes
    )
    # The packed gradients of the step with its loss. SALO: those of a curvature probe.
    # FuzzyHess: the slope of the length probe, and the loss of a probe at the averaged
    # weights.
    assert types["CrossReplicaSum"] == (2 if optimizer is SALO else 3)
    tf.function(lambda: tf.constant(0), jit_compile=True)()  # registers XLA's kernels
    of_strategy = {"AllToAll", "CrossReplicaSum", "Placeholder"}  # Adam's step has them
    for type_ in types:
        devices = {
            k.device_type for k in kernels.get_registered_kernels_for_op(type_).kernel
        }
        known = type_ in of_strategy or type_.startswith("TPU")
        assert known or "XLA_CPU_JIT" in devices, type_
