"""Runs against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.columns import pack, unpack
from asynctensor.kvstores.repo.family import DOCUMENTS, keys_of
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.run import DELETED, Ref, Run
from asynctensor.kvstores.repo.run_layers import joined, merged, without
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.programs import FAMILY, FAMILY_KEYS, STRING_KEYS, TEXT, runs

REF = Ref("x/1", 0, 5, 7)


def _again(run):
    payload = frame.unpacked(frame.packed(run.payload()), object="o")
    return Run.of_payload(Fields(payload, object="o", where="run"))


@settings(deadline=None, max_examples=50)
@given(runs())
def test_a_run_is_read_as_it_was_written(run) -> None:
    again = _again(run)
    assert list(again.items()) == list(run.items())
    assert again.payload() == run.payload()


@settings(deadline=None, max_examples=50)
@given(runs(), st.data())
def test_rows_are_found(run, data) -> None:
    items = dict(run.items())
    key = data.draw(FAMILY_KEYS if run.space else STRING_KEYS)
    at = run.find(key)
    assert (at >= 0) == (key in items)
    for position, (each, ref) in enumerate(items.items()):
        assert run.find(each) == position
        assert run.ref(position) == ref
        assert (
            run.find(each + b"\0") == list(items).index(each + b"\0")
            if each + b"\0" in items
            else -1
        )
    first, last = min([key, *items]), data.draw(st.none() | st.just(key))
    start, stop = run.between(first, last)
    expected = [each for each in items if first <= each and (last is None or each < last)]
    assert [run.key(each) for each in range(start, stop)] == expected
    assert list(run.part(start, stop).items()) == [(each, items[each]) for each in expected]


@settings(deadline=None, max_examples=50)
@given(runs(FAMILY.id), runs(FAMILY.id), st.booleans())
def test_runs_of_a_family_merge(newer, older, keep_deleted) -> None:
    _merges(newer, older, keep_deleted)


@settings(deadline=None, max_examples=50)
@given(runs(DOCUMENTS), runs(DOCUMENTS), st.booleans())
def test_runs_of_strings_merge(newer, older, keep_deleted) -> None:
    _merges(newer, older, keep_deleted)


def _merges(newer, older, keep_deleted):
    expected = dict(older.items()) | dict(newer.items())
    if not keep_deleted:
        expected = {key: ref for key, ref in expected.items() if ref is not None}
    both = merged(newer, older, keep_deleted=keep_deleted)
    assert list(both.items()) == sorted(expected.items())
    assert list(_again(both).items()) == sorted(expected.items())


RANGES = st.one_of(
    st.builds(KeyRange, TEXT, TEXT),
    st.builds(
        KeyRange,
        st.sampled_from(["", "a/c/", "a/c/1", "a/c/1/", "a/c/2/3", "b"]),
        st.sampled_from(["", "a/c/1/5", "a/c0", "a/c/10", "a/", "a/c/3"]),
    ),
)


@settings(deadline=None, max_examples=50)
@given(runs(), st.lists(RANGES, max_size=3))
def test_cleared_ranges_go_by_the_spelled_key(run, cleared) -> None:
    family = FAMILY if run.space else None
    spell = FAMILY.spell if family else bytes.decode
    expected = [item for item in run.items() if not any(spell(item[0]) in each for each in cleared)]
    assert list(without(run, cleared, family).items()) == expected


@settings(deadline=None, max_examples=50)
@given(runs(), st.tuples(st.integers(1, 9), st.integers(0, 9)))
def test_a_stamp_is_for_rows_without_a_version(run, version) -> None:
    for (_, before), (_, after) in zip(run.items(), run.stamped(version).items(), strict=True):
        if before is not None:
            stamped = version if before.version == (0, 0) else before.version
            assert after == before._replace(version=stamped)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
        st.none() | st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99)),
        max_size=20,
    )
)
def test_columns_make_the_same_run_as_items(rows) -> None:
    names = ["x/0", "x/1", "idx/0011223344556677"]
    values = [row or (DELETED, 0, 0) for row in rows.values()]
    index, offsets, sizes = np.array(values, np.uint64).reshape(-1, 3).T
    keys = keys_of(np.array([*rows], np.uint64).reshape(-1, 2))
    run = Run.of_columns(FAMILY.id, keys, names, index, offsets, sizes, sizes)
    expected = Run.of(
        FAMILY.id,
        [
            (
                keys_of(np.array([key], np.uint64)).tobytes(),
                row and Ref(names[row[0]], *row[1:], row[2]),
            )
            for key, row in rows.items()
        ],
    )
    assert list(run.items()) == list(expected.items())
    assert not rows or run.payload() == expected.payload()
    assert set(run.objects()) == {names[row[0]] for row in rows.values() if row}


@pytest.mark.parametrize("space", [DOCUMENTS, FAMILY.id])
def test_a_key_stands_once(space) -> None:
    with pytest.raises(InvalidArgument, match="twice"):
        Run.of(space, [(bytes(16), REF), (bytes(16), None)])
    with pytest.raises(InvalidArgument, match="twice"):
        keys = np.zeros(2, "S16") if space else [b"", b""]
        Run.of_columns(space, keys, ["x"], *[np.zeros(2, np.uint64)] * 4)


def test_keys_of_a_family_have_one_length() -> None:
    with pytest.raises(InvalidArgument, match="different lengths"):
        Run.of(FAMILY.id, [(bytes(8), REF), (bytes(16), None)])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=9)
    | st.lists(st.integers(1000, 1300), max_size=9)
    | st.builds(range, st.integers(0, 9), st.integers(10, 99), st.integers(1, 9)).map(list)
    | st.lists(st.integers(0, 99), max_size=9).map(lambda each: sorted(v << 40 for v in each))
)
def test_columns_of_numbers_are_read_as_they_were_written(values) -> None:
    column = pack(np.array(values, dtype=np.uint64))
    fields = Fields([column], object="o", where="w")
    assert unpack(fields, 0, "numbers", len(values)).tolist() == values


def _run_payload(**changed):
    payload = dict(
        enumerate(Run.of(FAMILY.id, [(bytes(16), REF), (bytes(15) + b"\1", None)]).payload())
    )
    return [*(payload | {int(key[1:]): value for key, value in changed.items()}).values()]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"_0": b"abc"}, "names the space"),
        ({"_1": []}, "not an array of at least 1"),
        ({"_1": [0] * 65}, "no key has more than 64"),
        ({"_1": [0, 0]}, "do not ascend"),
        ({"_1": [[5, b"\0\0"], [0, 0]]}, "do not ascend"),
        ({"_1": [0, [2**63, 1]]}, "must be below"),
        ({"_2": bytes(7)}, "7 bytes of checksums"),
        ({"_3": b"\3\0"}, "must be below 3"),
        ({"_3": 9}, "must be a number of 0 to 2"),
        ({"_3": b"\0\0\0"}, "3 bytes for 2"),
        ({"_3": True}, "has True as"),
        ({"_4": [None, b"abc"]}, "for names of 8"),
        ({"_4": [None, None, ["idx/" + "0" * 16] * 2]}, "among its other names"),
        ({"_4": [[b"", 0, b"", 0, 0]]}, "bytes of random parts"),
        ({"_5": 2**63}, "must be a number"),
        ({"_5": "x"}, "must be a number"),
        ({"_6": [1]}, "at least 2 elements"),
        ({"_7": b"x"}, "no row for them"),
        ({"_3": 1, "_6": 2**62, "_7": b"xx"}, "bytes of inline values"),
        ({"_3": 1, "_6": b"\1\2", "_7": b"xx"}, "bytes of inline values"),
    ],
)
def test_payloads_that_make_no_sense_are_refused(changed, message) -> None:
    payload = _run_payload(**changed)
    with pytest.raises(DataLoss, match=message):
        Run.of_payload(Fields(payload, object="o", where="run"))


def test_ten_thousand_chunks_are_small() -> None:
    positions = np.stack(np.unravel_index(np.arange(10_000), (100, 100)), axis=1).astype(np.uint64)
    names = [f"data/00/20260101/{'0' * 32}/{each}-{each:012x}" for each in range(40)]
    row = np.arange(10_000)
    crcs = np.random.default_rng(1).integers(0, 2**32, 10_000)
    run = Run.of_columns(
        FAMILY.id, keys_of(positions), names, row // 250, row % 250 * 4096, row, crcs
    )
    assert len(frame.packed(run.payload())) < 14 * len(run)
    one = run.part(500, 501)
    assert len(frame.packed(one.payload())) <= 80
    assert list(joined([run.part(0, 5), run.part(5, 9)]).items()) == list(run.part(0, 9).items())
