"""Updates in one operation, beside the readable form in several."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fuzzyhess.backend.in_place import move_average, subtract_multiple

VALUES = np.linspace(-2.0, 3.0, 7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jit_compile", [None, False, True], ids=str)
def test_updates_are_those_of_assignments(dtype, jit_compile):
    """The factor is float32 whatever the dtype, as all scalars of a step are."""
    variable, average = (tf.Variable(a * VALUES, dtype=dtype) for a in (1, 3))
    factor = tf.constant(0.25)

    def step():
        subtract_multiple(variable, factor, tf.constant(VALUES**2, dtype))
        move_average(average, tf.convert_to_tensor(variable), factor)

    if jit_compile is None:
        step()
    else:
        tf.function(step, jit_compile=jit_compile)()
    moved = VALUES - 0.25 * VALUES**2
    np.testing.assert_allclose(variable, moved, rtol=1e-6)
    np.testing.assert_allclose(average, 0.75 * 3 * VALUES + 0.25 * moved, rtol=1e-6)


def test_a_weight_may_be_subtracted_from_itself():
    """As weight decay does: what is read is not overwritten on the way."""
    variable = tf.Variable(VALUES)
    subtract_multiple(variable, tf.constant(0.5), tf.convert_to_tensor(variable))
    np.testing.assert_allclose(variable, VALUES / 2, rtol=1e-12)
