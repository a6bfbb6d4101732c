"""Weights of any shape, dtype and size train, in eager code and in a graph."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_fuzzyhess import SALO, FuzzyHess
from tests.fuzzing.budget import draws

shapes = st.lists(st.integers(0, 4), max_size=4)
weights = st.tuples(
    shapes, st.sampled_from(["float32", "float64"]), st.sampled_from([0, 1e-6, 1, 1e6])
)
networks = st.lists(weights, min_size=1, max_size=5).filter(
    lambda network: any(0 not in shape for shape, _, _ in network)
)


@pytest.mark.slow
@draws(few=12, many=1000)
@given(
    networks,
    st.sampled_from([FuzzyHess, SALO]),
    st.sampled_from([False, False, False, True]),
)
def test_weights_of_any_shape_train(network, make, in_graph):
    rng = np.random.default_rng(0)
    variables = [
        tf.Variable(scale * rng.normal(size=shape), dtype=dtype)
        for shape, dtype, scale in network
    ]
    optimizer = make()

    def loss():
        # Its gradient is bounded, and it is never constant.
        losses = [tf.reduce_sum(tf.sqrt(1 + (w - 1) ** 2)) for w in variables]
        return tf.add_n([tf.cast(part, tf.float32) for part in losses])

    step = lambda: optimizer.minimize(loss, variables)  # noqa: E731
    if in_graph:
        step = tf.function(step)
    for _ in range(5):
        step()
    for variable, (shape, dtype, _) in zip(variables, network, strict=True):
        assert variable.shape == tuple(shape) and variable.dtype == dtype
    for variable in [*variables, *optimizer.variables]:
        assert np.isfinite(variable.numpy()).all(), variable.name
