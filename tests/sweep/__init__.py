"""The sweep: whatever of Keras's own can stand in a training, trains.

Every class of `keras.layers`, `keras.losses` and `keras.callbacks`, found by the
program, and every argument of Keras's optimizers. `make sweep` runs all of it,
`make test` and `make test-slow` a sample.
"""

import pytest

# So that a cell that fails tells the values.
pytest.register_assert_rewrite("tests.sweep.checks")
