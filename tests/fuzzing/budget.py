"""How many examples a fuzz test draws: a few in the suite, many by `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

WHOLE = os.environ.get("FUZZ") == "whole"


def draws(few, many):
    """Settings of a test that draws `few` examples, by `make fuzz` `many`.

    The few are the same in every run of one release of Hypothesis; the many are not.
    """
    return settings(
        max_examples=many if WHOLE else few,
        derandomize=not WHOLE,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
