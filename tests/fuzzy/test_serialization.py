import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_fuzzyhess.fuzzy import RuleBase, default_rule_base, paper_rule_base

from .generated import rule_bases


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rules.json"


def altered(**changes):
    return default_rule_base().to_dict() | changes


@pytest.mark.parametrize("make", [default_rule_base, paper_rule_base])
def test_a_file_holds_the_whole_rule_base(make, path):
    make().save(path)
    assert RuleBase.load(path) == make()
    assert RuleBase.load(str(path)).to_dict() == make().to_dict()
    assert json.loads(path.read_text())["schema_version"] == 1


@pytest.mark.slow
@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(rule_base=rule_bases())
def test_generated_rule_bases_survive_a_file(rule_base, path):
    rule_base.save(path)
    assert RuleBase.load(path) == rule_base


def test_weight_and_reason_may_be_left_out(path):
    data = default_rule_base().to_dict()
    for rule in data["rules"]:
        del rule["weight"], rule["why"]
    path.write_text(json.dumps(data))
    assert {(r.weight, r.why) for r in RuleBase.load(path).rules} == {(1.0, "")}


def test_lists_may_have_become_tuples():
    data = default_rule_base().to_dict()
    data["rules"] = tuple(data["rules"])
    term = data["inputs"][0]["terms"][0]
    term["points"] = tuple(term["points"])
    assert RuleBase.from_dict(data) == default_rule_base()


@pytest.mark.parametrize(
    "content, named",
    [
        (b"", ["JSON"]),
        (b"\xff\xfe{}", ["UTF-8"]),
        (b"\x80abc", ["UTF-8"]),
        (b"{", ["JSON"]),
        (b"import os", ["JSON"]),
        (b"[" * 100_000, ["nested"]),
        (b'{"a":' * 100_000, ["nested"]),
        (b" " * (4 * 1024 * 1024 + 1), ["4194304 bytes"]),
        (b'{"a": NaN}', ["NaN"]),
        (b'{"a": -Infinity}', ["-Infinity"]),
        (b'{"kind": 1, "kind": 2}', ["'kind' twice"]),
        (b'{"a": ' + b"9" * 5000 + b"}", ["JSON"]),
        (b"[]", ["mapping", "[]"]),
        (b"null", ["mapping", "None"]),
        (b"{}", ["schema_version", "None"]),
        (b'{"schema_version": true}', ["schema_version", "True"]),
        (b'{"schema_version": 2, "kind": "rule_base"}', ["schema_version", "2"]),
        (b'{"schema_version": 1.0}', ["schema_version", "1.0"]),
        (b'{"schema_version": 1, "kind": "model"}', ["kind", "'model'"]),
        (b'{"schema_version": 1, "kind": "rule_base"}', ["'name'"]),
    ],
)
def test_hostile_files_are_refused(path, content, named):
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        RuleBase.load(path)
    for fragment in [str(path), *named]:
        assert fragment in str(refusal.value)


def test_every_truncation_is_refused(path):
    default_rule_base().save(path)
    content = path.read_bytes().rstrip()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="JSON"):
            RuleBase.load(path)


@pytest.mark.parametrize(
    "data, named",
    [
        (altered(author="x"), ["author"]),
        (altered(name=3), ["name", "3"]),
        (altered(inputs={}), ["'inputs'", "list"]),
        (altered(inputs=[7]), ["inputs[0]", "7"]),
        (altered(rules="all"), ["'rules'", "'all'"]),
        (altered(rules=[{"if": {}}]), ["rules[0]", "'then'"]),
        (altered(rules=[{"if": [], "then": {}}]), ["'if' of rules[0]", "[]"]),
        (altered(rules=[{"if": {}, "then": {}, "do": 1}]), ["rules[0]", "'do'"]),
        (altered(inputs=[{"name": "progress"}]), ["inputs[0]", "'low'"]),
    ],
)
def test_wrong_content_is_refused_by_its_place(path, data, named):
    path.write_text(json.dumps(data))
    for refuse in (lambda: RuleBase.from_dict(data), lambda: RuleBase.load(path)):
        with pytest.raises(ValueError) as refusal:
            refuse()
        for fragment in named:
            assert fragment in str(refusal.value)


def _places(data, place=()):
    yield place
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in entries:
        if isinstance(value, dict | list):
            yield from _places(value, (*place, key))
        else:
            yield (*place, key)


PLACES = [place for place in _places(default_rule_base().to_dict()) if place]
NONSENSE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.text(max_size=5), st.floats(), st.integers()
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.sampled_from(PLACES), NONSENSE)
def test_nonsense_anywhere_gives_a_sound_rule_base_or_a_value_error(place, nonsense):
    data = default_rule_base().to_dict()
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = nonsense
    try:
        rule_base = RuleBase.from_dict(data)
    except ValueError as error:
        assert "must" in str(error)
    else:
        assert RuleBase.from_dict(rule_base.to_dict()) == rule_base


def test_data_that_is_no_mapping_is_a_type_error():
    with pytest.raises(TypeError, match="mapping"):
        RuleBase.from_dict([])


def test_a_missing_file_is_reported_as_such(path):
    with pytest.raises(FileNotFoundError):
        RuleBase.load(path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    paper_rule_base().save(path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        default_rule_base().save(path)
    assert RuleBase.load(path) == paper_rule_base()
    assert os.listdir(path.parent) == [path.name]


def test_saving_leaves_an_ordinary_file_only(path):
    default_rule_base().save(path)
    paper_rule_base().save(path)
    assert os.listdir(path.parent) == [path.name]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
