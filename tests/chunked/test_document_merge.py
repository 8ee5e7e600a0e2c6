"""Three versions of a document become one, and nobody's change is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.chunked.document_merge import (
    MEMBERS,
    OPAQUE,
    MergeConflict,
    MergeRules,
    meaning_changes,
    merged,
)

RULES = MergeRules(
    by_name=frozenset({"attributes"}),
    by_axis=frozenset({"shape"}),
    meaning=frozenset({"data_type", "codecs"}),
)
MISSING = object()

names = st.sampled_from(["a", "b", "c"])
values = st.sampled_from([0, 1, 1.0, True, None, "x", [1], {"y": 1}])
attributes = st.dictionaries(names, values, max_size=3)
shapes = st.lists(st.integers(0, 3), min_size=2, max_size=2)
documents = st.fixed_dictionaries(
    {"data_type": st.sampled_from(["int8", "uint8"]), "shape": shapes},
    optional={"attributes": attributes, "extra": values},
)


def dumped(document: dict[str, Any] | None) -> bytes | None:
    return None if document is None else json.dumps(document).encode()


def outcome(rules: MergeRules, *versions: dict[str, Any] | None, appended=None) -> Any:
    try:
        made = merged(rules, *map(dumped, versions), appended)
    except MergeConflict as conflict:
        return conflict.members
    return None if made is None else json.loads(made)


def parts(document: dict[str, Any] | None) -> dict[str, str]:
    """What may be changed by itself, by path, as text."""
    if document is None:
        return {}
    found = {}
    for name, value in document.items():
        if name == "attributes":
            found |= {f'attributes["{k}"]': json.dumps(v) for k, v in value.items()}
        elif name == "shape":
            found |= {f"shape[{dim}]": json.dumps(size) for dim, size in enumerate(value)}
        else:
            found[name] = json.dumps(value, sort_keys=True)
    return found


def test_the_rules_in_examples() -> None:
    base = {"shape": [4, 4], "attributes": {"a": 1}, "codecs": ["x"]}
    ours = {"shape": [6, 4], "attributes": {"a": 1, "b": 2}, "codecs": ["x"]}
    theirs = {"shape": [4, 9], "attributes": {"c": 3}, "codecs": ["y"]}
    assert outcome(RULES, base, ours, theirs) == {
        "shape": [6, 9], "attributes": {"c": 3, "b": 2}, "codecs": ["y"],
    }  # fmt: skip
    theirs = {"shape": [5, 4], "attributes": {"b": 3}, "codecs": ["x"]}
    assert outcome(RULES, base, ours, theirs) == ("shape[0]", 'attributes["b"]')


def test_appends_begin_where_the_others_end() -> None:
    base, ours, theirs = ({"shape": [n, 2]} for n in (4, 7, 9))
    assert outcome(RULES, base, ours, theirs, appended={0: 3}) == {"shape": [12, 2]}
    assert outcome(RULES, base, ours, ours, appended={0: 3}) == {"shape": [10, 2]}
    assert outcome(RULES, base, ours, base, appended={0: 3}) == {"shape": [7, 2]}
    assert outcome(RULES, base, ours, {"shape": [1, 2]}, appended={0: 3}) == {"shape": [4, 2]}


@given(documents, documents, documents)
def test_each_part_is_as_whoever_changed_it_left_it(base: Any, ours: Any, theirs: Any) -> None:
    before, mine, other = parts(base), parts(ours), parts(theirs)
    expected, conflicts = {}, set()
    for path in before.keys() | mine.keys() | other.keys():
        b, o, t = (each.get(path) for each in (before, mine, other))
        if b not in (o, t) and o != t:
            conflicts.add(path)
        value = t if o == b else o
        if value is not None:
            expected[path] = value
    found = outcome(RULES, base, ours, theirs)
    if conflicts:
        assert isinstance(found, tuple)
        assert set(found) == conflicts
    else:
        assert parts(found) == expected


@given(documents, documents, documents)
def test_merging_is_symmetric(base: Any, ours: Any, theirs: Any) -> None:
    one, other = outcome(RULES, base, ours, theirs), outcome(RULES, base, theirs, ours)
    if isinstance(one, tuple):
        assert set(one) == set(other)
    else:
        assert parts(one) == parts(other)


@given(documents, documents)
def test_who_changed_nothing_gets_the_other(base: Any, changed: Any) -> None:
    assert parts(outcome(RULES, base, changed, base)) == parts(changed)
    assert parts(outcome(RULES, base, base, changed)) == parts(changed)
    assert parts(outcome(RULES, base, changed, changed)) == parts(changed)


@pytest.mark.parametrize("rules", [RULES, MEMBERS, OPAQUE])
def test_documents_that_come_and_go(rules: MergeRules) -> None:
    one, two = {"a": 1}, {"a": 2}
    assert outcome(rules, None, one, None) == one
    assert outcome(rules, None, one, one) == one
    assert outcome(rules, one, None, one) is None
    assert outcome(rules, one, None, None) is None
    assert outcome(rules, one, one, None) is None
    assert outcome(rules, one, None, two) == ()
    assert outcome(rules, one, two, None) == ()
    assert outcome(rules, None, one, two) == (() if rules is OPAQUE else ("a",))


def test_what_is_not_understood_is_one_whole() -> None:
    assert merged(OPAQUE, b"1", b"2", b"1") == b"2"
    with pytest.raises(MergeConflict):
        merged(OPAQUE, b"1", b"2", b"3")


def test_members_on_which_the_meaning_of_chunks_depends() -> None:
    one = json.dumps({"data_type": "int8", "shape": [1], "attributes": {}, "extra": 1}).encode()
    same = json.dumps({"data_type": "int8", "shape": [2], "attributes": {"a": 1}}).encode()
    other = json.dumps({"data_type": "int16", "shape": [1], "attributes": {}, "extra": 1}).encode()
    assert meaning_changes(RULES, one, same) == ()
    assert meaning_changes(RULES, one, other) == ("data_type",)
    every = MergeRules(by_name=RULES.by_name, by_axis=RULES.by_axis)
    assert meaning_changes(every, one, same) == ("extra",)
    assert meaning_changes(OPAQUE, one, same) == ("the document",)
