"""A replay leaves no trace: state moves once, and what follows sees the new weights."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.cond_v2 import get_func_graphs

from keras_fuzzyhess import FuzzyHess
from tests.helpers import networks
from tests.helpers.fast import each_value_fast
from tests.helpers.recorder import Recorder


def branches(graph):
    """All `tf.cond` of a graph, those inside others as well."""
    for op in graph.get_operations():
        if op.type in ("If", "StatelessIf"):
            yield op
            for inner in get_func_graphs(op):
                yield from branches(inner)


@each_value_fast(name=["lstm", "dense"], optimizer=[FuzzyHess, FuzzyHess.salo])
def test_what_follows_a_step_sees_its_weights(name, optimizer):
    """A weight must enter a branch once only: see `GradientReplay._resources_in`."""
    model, optimizer = networks.ALL[name](), optimizer()
    x, y = networks.data(model)
    seen = [tf.Variable(v) for v in networks.weights(model)]
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(networks.cross_entropy(y, model(x)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        for copy, variable in zip(seen, networks.weights(model), strict=True):
            copy.assign(variable.read_value())

    for _ in range(3):
        step()
        for copy, variable in zip(seen, networks.weights(model), strict=True):
            np.testing.assert_array_equal(copy.numpy(), variable.numpy())
    found = list(branches(step.get_concrete_function().graph))
    assert len(found) >= 2
    for branch in found:
        resources = [t.ref() for t in branch.inputs if t.dtype == tf.resource]
        assert len(resources) == len(set(resources)), branch.name


def test_state_moves_once():
    """BatchNorm's statistics and the seeds end as in a run without probes."""

    def state_after_one_step(optimizer):
        keras.utils.set_random_seed(3)
        model = networks.convolution()
        x, y = networks.data(model)
        model.compile(optimizer(model), networks.cross_entropy, metrics=["accuracy"])
        model.train_on_batch(x, y)
        return [v.numpy() for v in model.non_trainable_variables]

    plain = state_after_one_step(lambda model: keras.optimizers.SGD(0.0))
    probed = state_after_one_step(lambda m: Recorder(networks.random_shifts(m)))
    for a, b in zip(plain, probed, strict=True):
        np.testing.assert_array_equal(a, b)
