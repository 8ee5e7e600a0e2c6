"""Records and intents, whole and damaged."""

from __future__ import annotations

import google_crc32c
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import DataLoss, InvalidArgument, Unimplemented
from asynctensor.kvstores.repo import frame, key_columns
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.intent import Intent
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.record import (
    NO_PARENT,
    AbortEntry,
    ClosedEntry,
    CommitEntry,
    FloorEntry,
    PartRef,
    Record,
    Span,
    SweepEntry,
    UnknownEntry,
)
from asynctensor.kvstores.repo.run import Ref, Run
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.programs import (
    FAMILY,
    FAMILY_KEYS,
    NAMES,
    STRING_KEYS,
    TEXT,
    as_body,
    refuses_damage,
    runs,
)

BRANCH = "00aabbccddee"
OBJECT = "some/object"
IDS = st.binary(min_size=16, max_size=16)
SEQS = st.integers(0, 2**62)
RANGES = st.builds(KeyRange, TEXT, TEXT)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3),
    max_leaves=5,
)
PARTS = st.builds(
    PartRef,
    TEXT.map("part/{}".format),
    SEQS,
    st.integers(0, 2**32 - 1),
    SEQS,
    st.lists(st.builds(Span, st.just(FAMILY.id), FAMILY_KEYS, FAMILY_KEYS, SEQS), max_size=2).map(
        tuple
    ),
    TEXT,
    SEQS,
)
COMMITS = st.builds(
    CommitEntry,
    txn=IDS,
    base=st.integers(-1, 2**62),
    time=SEQS,
    runs=st.tuples(runs(DOCUMENTS, 4), runs(FAMILY.id, 4)) | st.just(()),
    message=st.none() | TEXT,
    author=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, JSON, max_size=3),
    isolation=st.sampled_from(["serializable", "snapshot", "blind"]),
    cleared=st.lists(RANGES, max_size=3).map(tuple),
    families=st.just((FAMILY, Family.of("", ".", 3))) | st.just((FAMILY,)),
    parts=st.lists(PARTS, max_size=2).map(tuple),
    adopts=st.sets(NAMES, max_size=3).map(tuple),
    kind=st.sampled_from(["commit", "reset", "revert", "merge"]),
    target=st.none() | st.tuples(st.just(BRANCH), SEQS, st.integers(0, 2**16 - 1)),
    caller_key=st.none() | TEXT,
)
ENTRIES = st.one_of(
    COMMITS,
    st.builds(AbortEntry, IDS, st.none() | IDS),
    st.builds(FloorEntry, SEQS),
    st.builds(SweepEntry, SEQS, st.sets(NAMES, max_size=3).map(tuple)),
    st.just(ClosedEntry()),
)
RECORDS = st.builds(
    Record, st.just(BRANCH), SEQS, IDS, SEQS, st.lists(ENTRIES, max_size=4).map(tuple)
)


def _one_chunk(**fields):
    name = f"data/12/20260101/{'5' * 32}/0-123456789abc"
    run = Run.of(FAMILY.id, [(bytes(16), Ref(name, 0, 4096, 0xDEADBEEF))])
    given = {
        "txn": bytes(range(16)),
        "base": 6,
        "time": 1_700_000_000_000_000,
        "runs": (run,),
        "families": (FAMILY,),
    }
    return CommitEntry(**(given | fields))


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record) -> None:
    again = Record.decode(record.encode(), object=OBJECT)
    assert again == record
    assert again.digest == record.digest
    assert (again.branch, again.seq, again.parent, again.time) == (
        record.branch,
        record.seq,
        record.parent,
        record.time,
    )
    for entry, other in zip(record.entries, again.entries, strict=True):
        match entry, other:
            case CommitEntry(), CommitEntry():
                _same_commit(entry, other)
            case SweepEntry(), SweepEntry():
                assert (entry.floor, set(entry.names)) == (other.floor, set(other.names))
            case _:
                assert entry == other


def _same_commit(entry, other):
    for name in vars(entry).keys() - {"runs", "adopts", "encoded", "digest"}:
        assert getattr(entry, name) == getattr(other, name), name
    assert set(entry.adopts) == set(other.adopts)
    for run, again in zip(entry.runs, other.runs, strict=True):
        assert list(run.items()) == list(again.items())
    # The stored form is one and the same however the entry came about.
    del other.__dict__["encoded"]
    assert other.encoded == entry.encoded
    assert other.digest == entry.digest


@settings(max_examples=40, deadline=None)
@given(
    COMMITS,
    st.lists(FAMILY_KEYS, unique=True, max_size=5).map(sorted),
    st.lists(STRING_KEYS, unique=True, max_size=5).map(sorted),
    st.lists(RANGES, max_size=2).map(tuple),
)
def test_an_intent_is_read_as_it_was_written(commit, positions, strings, ranges) -> None:
    keys = {
        DOCUMENTS: strings,
        FAMILY.id: key_columns.of(FAMILY.id, positions)
        if positions
        else key_columns.of(FAMILY.id, [bytes(16)]),
    }
    again = Intent.decode(Intent(BRANCH, commit, ReadSet(keys, ranges)).encode(), object=OBJECT)
    assert (again.branch, again.commit, again.commit.digest) == (BRANCH, commit, commit.digest)
    assert again.reads.ranges == ranges
    assert again.reads.keys[DOCUMENTS] == strings
    assert again.reads.keys[FAMILY.id].tolist() == keys[FAMILY.id].tolist()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(FAMILY_KEYS, unique=True, min_size=3).map(sorted),
    st.lists(STRING_KEYS, unique=True, min_size=3).map(sorted),
)
def test_a_coarser_read_set_holds_the_finer_one(positions, strings) -> None:
    reads = ReadSet({DOCUMENTS: strings, FAMILY.id: key_columns.of(FAMILY.id, positions)})
    assert reads.coarsened({FAMILY.id: FAMILY}, limit=100) is reads
    coarse = reads.coarsened({FAMILY.id: FAMILY}, limit=2)
    assert coarse.keys == {}
    for key in [*map(FAMILY.spell, positions), *map(bytes.decode, strings)]:
        assert any(key in each for each in coarse.ranges)


def test_the_record_of_one_chunk_is_small() -> None:
    record = Record(
        BRANCH, 7, bytes(range(16)), 1_700_000_000_000_001, (_one_chunk(message="edit"),)
    )
    assert len(record.encode()) <= 170


def test_damage_is_seen() -> None:
    metadata = {"a": [1, {"b": None}]}
    commit = _one_chunk(
        message="m",
        metadata=metadata,
        cleared=(KeyRange("a", "b"), KeyRange.prefix("x/")),
        parts=(PartRef("part/x", 1, 2, 3, (Span(DOCUMENTS, b"", b"z", 2),), "w", 1),),
        adopts=("x", "idx/0000000000000000"),
        target=(BRANCH, 1, 2),
    )
    documents = Run.of(DOCUMENTS, [(b"a/zarr.json", Ref.of_inline(b"{}")), (b"a/zzz", None)])
    other = CommitEntry(bytes(16), -1, 5, (documents,))
    sweep = SweepEntry(3, ("ref/b/main/0",))
    entries = (commit, AbortEntry(bytes(16)), FloorEntry(1), sweep, other, ClosedEntry())
    record = Record(BRANCH, 7, NO_PARENT, 9, entries)
    refuses_damage(record.encode(), lambda data: Record.decode(data, object=OBJECT))
    reads = ReadSet({DOCUMENTS: [b"a", b"b"]}, (KeyRange("a", ""),))
    intent = Intent(BRANCH, commit, reads)
    refuses_damage(intent.encode(), lambda data: Intent.decode(data, object=OBJECT))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_typed_error(data) -> None:
    with pytest.raises(DataLoss, match=OBJECT):
        Record.decode(data, object=OBJECT)
    with pytest.raises(DataLoss, match=OBJECT):
        Record.decode(as_body(frame.Kind.RECORD, [data]), object=OBJECT)


def _sealed(payload):
    body = b"atx1\x02\1\0\0\0" + payload
    return body + google_crc32c.value(body).to_bytes(4, "little")


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x01\x00\x00" * 900,
        b"\x91" * 5000,
        b"\xc6\xff\xff\xff\xff",
        b"\x80",
        b"\xc1",
        b"\x90\x90",
        b"\xd4\x01\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\x92\xa1\xff\x00",
        b"\xa1a",
        b"\xd6\xff\x00\x00\x00\x00",
    ],
)
def test_hostile_msgpack_is_refused(payload) -> None:
    with pytest.raises(DataLoss, match=r"msgpack|not an array|at least"):
        Record.decode(_sealed(payload), object=OBJECT)


def test_a_newer_version_is_refused_with_both_numbers() -> None:
    body = b"atx1\x02\x02\0\0\0" + msgpack.packb([])
    with pytest.raises(Unimplemented, match=r"version 2 .* version 1.*some/object"):
        Record.decode(body + google_crc32c.value(body).to_bytes(4, "little"), object=OBJECT)


def test_another_kind_is_refused() -> None:
    with pytest.raises(DataLoss, match="is no intent of a repository: it says to be of kind 2"):
        Intent.decode(Record(BRANCH, 0, NO_PARENT, 0, ()).encode(), object=OBJECT)


def test_what_a_later_version_adds_at_the_end_is_skipped() -> None:
    payload = frame.decode(
        frame.Kind.RECORD, Record(BRANCH, 7, NO_PARENT, 9, (ClosedEntry(),)).encode(), object=""
    )
    payload[4][0].append("more")
    body = frame.encode(frame.Kind.RECORD, [*payload, 1, [2]])
    assert Record.decode(body, object=OBJECT).entries == (ClosedEntry(),)


def test_an_entry_of_a_later_version_is_told() -> None:
    body = frame.encode(frame.Kind.RECORD, [bytes(6), 1, NO_PARENT, 1, [[77, "what"]]])
    record = Record.decode(body, object=OBJECT)
    assert record.entries == (UnknownEntry(77),)
    assert record.encode() == body
    with pytest.raises(InvalidArgument, match="unknown kind 77"):
        Record(BRANCH, 2, NO_PARENT, 2, record.entries).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "\ud800"},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a": {1}}},
        {"metadata": {"a": "\udc00"}},
        {"cleared": (KeyRange("\ud800", ""),)},
        {"adopts": ("\ud800",)},
        {"target": ("x", 1, 1)},
        {"base": -2},
        {"time": -1},
        {"txn": b"short"},
        {"families": ()},
        {"families": (Family.of("a/c/", ".", 2),)},
        {"runs": (Run.of(FAMILY.id, [(bytes(8), None)]),)},
        {"runs": (Run.of(DOCUMENTS, [("\ud800".encode("utf-8", "surrogatepass"), None)]),)},
    ],
)
def test_what_cannot_be_stored_is_refused_when_written(fields) -> None:
    with pytest.raises(InvalidArgument):
        Record(BRANCH, 1, NO_PARENT, 1, (_one_chunk(**fields),)).encode()


def test_a_branch_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no branch id"):
        Record("main", 0, NO_PARENT, 0, ()).encode()


@pytest.mark.parametrize("rank", [None, 3])
def test_a_run_of_a_family_that_is_not_named_is_refused(rank) -> None:
    payload = frame.unpacked(_one_chunk().encoded, object="")
    if rank is None:
        payload[9] = []
    else:
        payload[3][0][1] = [0] * rank
    body = frame.encode(
        frame.Kind.RECORD, [bytes(6), 1, NO_PARENT, 1, [[1, frame.packed(payload)]]]
    )
    with pytest.raises(DataLoss, match=r"does not name|keys of 3 numbers"):
        Record.decode(body, object=OBJECT)


@settings(deadline=None, max_examples=20)
@given(runs(DOCUMENTS), runs(FAMILY.id))
def test_a_part_is_read_as_it_was_written(documents, chunks) -> None:
    part = Part(BRANCH, bytes(range(16)), "w1", 2, (FAMILY,), (documents, chunks))
    body = part.encode()
    again = Part.decode(body, object=OBJECT)
    assert again.encode() == body
    assert [list(run.items()) for run in again.runs] == [list(run.items()) for run in part.runs]
    ref = part.ref("part/x", body)
    assert (ref.size, ref.crc) == (len(body), google_crc32c.value(body))
    assert ref.count == len(documents) + len(chunks)
    for span, run in zip(ref.spans, [run for run in part.runs if len(run)], strict=True):
        assert (span.first, span.last, span.count) == (run.key(0), run.key(len(run) - 1), len(run))


def test_damage_of_a_part_is_seen() -> None:
    run = Run.of(FAMILY.id, [(bytes(16), Ref("x", 0, 1, 2))])
    body = Part(BRANCH, bytes(16), "w", 1, (FAMILY,), (run,)).encode()
    refuses_damage(body, lambda data: Part.decode(data, object=OBJECT))
