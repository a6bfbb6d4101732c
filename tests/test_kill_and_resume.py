"""A short form of `make kills`: two kills instead of forty."""

import random

import pytest

from tests.helpers.kill_and_resume import STEPS, WAYS, kills, train


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_bit(tmp_path):
    reference = train(WAYS[0], tmp_path, kill_at=STEPS + 1)
    assert len(reference) == STEPS + 2, "the beginning, every step and the end"
    assert len(set(reference.values())) == STEPS + 2
    draw = random.Random(0)
    for way in WAYS:
        (kill,) = kills(way, 1, draw, reference)
        assert 0 < kill.resumed <= kill.step
        assert kill.compared == 1 + (STEPS - kill.resumed) + 1
        assert kill.differing == []
