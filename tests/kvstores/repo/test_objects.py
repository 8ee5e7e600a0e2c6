"""Names of objects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo import objects
from tests.kvstores.repo.programs import NAMES, TEXT


@settings(deadline=None, max_examples=50)
@given(NAMES)
def test_short_forms_give_names_back(name) -> None:
    assert objects.spelled(objects.packed(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "idx/0123456789ABCDEF",
        "idx/0123456789abcdef0",
        "data/00/20260101/" + "0" * 32 + "/01-" + "0" * 12,
        "data/01/20260101/" + "0" * 32 + "/1-" + "0" * 12,
    ],
)
def test_names_that_nearly_follow_a_pattern_are_kept_as_they_are(name) -> None:
    assert objects.packed(name)[:1] == b"o"
    assert objects.spelled(objects.packed(name)) == name


def test_later_slots_list_first() -> None:
    names = [
        objects.log_slot("a" * 12, seq) for seq in (0, 1, 2, 10, 16, 2**40, objects.SEQ_LIMIT - 1)
    ]
    assert sorted(names, reverse=True) == names
    assert [objects.seq_of(name) for name in names][:5] == [0, 1, 2, 10, 16]
    assert objects.seq_of(objects.checkpoint("a" * 12, 7)) == 7


@pytest.mark.parametrize(
    "name", ["log/a/1", "hint/a", "log/a/zzzzzzzzzzzzzzzz", "log/a/ffffffffffffffff", ""]
)
def test_other_names_have_no_seq(name) -> None:
    assert objects.seq_of(name) is None


@pytest.mark.parametrize("seq", [-1, objects.SEQ_LIMIT])
def test_a_seq_out_of_range_is_refused(seq) -> None:
    with pytest.raises(InvalidArgument, match="no sequence number"):
        objects.log_slot("a" * 12, seq)


@settings(deadline=None, max_examples=50)
@given(TEXT.filter(bool), TEXT.filter(bool))
def test_names_of_refs_stay_apart_without_regard_to_case(one, other) -> None:
    first, second = objects.quoted(one), objects.quoted(other)
    assert (first.lower() == second.lower()) == (one == other)
    assert "/" not in first
    assert first not in (".", "..")
    assert objects.ref_of(objects.ref_entry("b", one, 3)) == (one, 3)


@pytest.mark.parametrize(
    "entry", ["ref/b/a", "ref/b/A/0", "ref/b/a/00", "ref/b/a/x", "log/b/a/0", "ref/b/%ff/0"]
)
def test_other_names_are_no_refs(entry) -> None:
    assert objects.ref_of(entry) is None


@pytest.mark.parametrize("name", ["", "x" * 241, "A" * 100, "\ud800"])
def test_names_that_no_file_system_takes_are_refused(name) -> None:
    with pytest.raises(InvalidArgument, match="no name of a branch or tag"):
        objects.quoted(name)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=20).filter(lambda each: len(each) != 16))
def test_ids_of_another_length_are_refused(txn) -> None:
    with pytest.raises(InvalidArgument, match="not the 16"):
        objects.intent("a" * 12, txn)
