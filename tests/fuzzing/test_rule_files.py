"""Rule bases, sound or damaged in their file: an error that says where, or training."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from keras_fuzzyhess import SALO, FuzzyHess
from keras_fuzzyhess.fuzzy import default_rule_base
from tests.fuzzing.budget import draws
from tests.fuzzing.damage import damaged
from tests.fuzzing.training import assert_trains
from tests.fuzzy.generated import rule_bases

CONTENT = json.dumps(default_rule_base().to_dict()).encode()


@draws(few=40, many=3000)
@given(damaged(CONTENT))
def test_a_damaged_rule_base_is_refused_by_its_path_or_trains(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.json"
        path.write_bytes(content)
        try:
            optimizer = FuzzyHess(rule_base=path)
        except ValueError as error:
            assert str(path) in str(error)
            return
    assert_trains(optimizer)


@draws(few=5, many=500)
@given(st.sampled_from([FuzzyHess, SALO]), rule_bases())
def test_any_sound_rule_base_trains(make, rule_base):
    assert_trains(make(rule_base=rule_base))
