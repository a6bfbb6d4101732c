"""The contract: in every mode and every situation the optimizer does what it promises.

Or it refuses with an error that names the remedy. `python -m tests.contract` prints the
table; `docs/reliability.md` has it.
"""
