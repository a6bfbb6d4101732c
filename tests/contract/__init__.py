"""The contract: in every mode and every situation the optimizer does what it promises.

Or it refuses with an error that names the remedy. `python -m tests.contract` prints the
table; `docs/reliability.md` has it.
"""

import pytest

# So that a cell that fails tells the values.
pytest.register_assert_rewrite(
    "tests.contract.training",
    "tests.contract.arguments",
    "tests.contract.architectures",
    "tests.contract.execution",
    "tests.contract.persistence",
    "tests.contract.refusals",
)
