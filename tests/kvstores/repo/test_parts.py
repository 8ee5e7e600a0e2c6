"""Commits with parts: found, listed, judged, folded, told apart, and never believed unchecked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, FailedPrecondition
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.changes import changes_of
from asynctensor.kvstores.repo.family import Family, keys_of
from asynctensor.kvstores.repo.fields import Fields
from asynctensor.kvstores.repo.lease import Lease
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.overlaps import Clash, Writer, find_clashes
from asynctensor.kvstores.repo.part import Part, decode_part
from asynctensor.kvstores.repo.part_ref import PartRef, Span
from asynctensor.kvstores.repo.part_runs import read_part
from asynctensor.kvstores.repo.part_table import PartTable
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.runtime.event_loop import start

FAMILY = Family.of("image/c/", "/", 2)
TXN = bytes(range(16))
BRANCH = "0123456789ab"


def key(*position: int) -> bytes:
    return keys_of(np.array([position], np.uint64)).tobytes()


def run_of(positions: list[tuple[int, int]]) -> Run:
    count = len(positions)
    numbers = np.arange(count, dtype=np.uint64)
    return Run.of_columns(
        FAMILY.id,
        keys_of(np.array(positions, np.uint64)),
        ["data/00/20260101/" + TXN.hex() + "/0-" + "0" * 12],
        np.zeros(count, np.uint32),
        numbers,
        numbers,
        numbers,
    )


def part_of(*runs: Run, worker: str = "w") -> Part:
    return Part(BRANCH, TXN, worker, 0, (FAMILY,), runs)


def referred(part: Part, random: str = "0" * 16) -> tuple[PartRef, bytes]:
    body = part.encode()
    return part.ref(f"part/{BRANCH}/{TXN.hex()}/{random}", body), body


def test_a_span_has_the_corners_of_its_box() -> None:
    span = Span.of(run_of([(2, 9), (3, 1), (5, 4)]))
    assert (span.first, span.last, span.count) == (key(2, 9), key(5, 4), 3)
    assert (span.low, span.high) == (key(2, 1), key(5, 9))
    assert span.may_hold(key(3, 1))
    assert not span.may_hold(key(3, 10))
    assert not span.may_hold(key(6, 1))
    beside = Span.of(run_of([(2, 10), (5, 12)]))
    assert not span.may_share(beside)
    assert span.may_share(Span.of(run_of([(1, 1), (4, 9)])))
    documents = Span.of(Run.of(b"", [(b"a", None), (b"c", Ref.of_inline(b"1"))]))
    assert (documents.low, documents.high) == (b"", b"")
    assert documents.may_hold(b"b")
    assert not documents.may_hold(b"d")
    assert not documents.may_share(span)


def test_references_and_leases_are_read_as_they_were_written() -> None:
    part = part_of(run_of([(2, 9), (3, 1)]), Run.of(b"", [(b"a", None)]), worker="w1")
    ref, body = referred(part)
    fields = Fields(ref.payload(), object="o", where="part")
    assert PartRef.of_payload(fields) == ref
    assert decode_part(body, ref).encode() == part.encode() == body
    lease = Lease(BRANCH, (3, 65535), BRANCH, TXN, 77)
    assert Lease.decode(lease.encode(), object="o") == lease
    assert lease.name(1) == f"lease/{TXN[:8].hex()}/1"


def test_damage_of_a_part_is_found() -> None:
    ref, body = referred(part_of(run_of([(2, 9), (3, 1)])))
    with pytest.raises(DataLoss, match="not the part"):
        decode_part(body[:-1] + bytes([body[-1] ^ 1]), ref)
    other, other_body = referred(part_of(run_of([(2, 9), (3, 2)])))
    lying = replace(other, spans=ref.spans)
    with pytest.raises(DataLoss, match="other keys"):
        decode_part(other_body, lying)


def test_a_table_names_the_parts_that_may_have_a_key() -> None:
    runs = [[(i, 0), (i + 3, 5)] for i in range(0, 20, 2)]
    refs = [referred(part_of(run_of(each)), f"{i:016x}")[0] for i, each in enumerate(runs)]
    table = PartTable.of(refs)[FAMILY.id]
    for position in [(0, 0), (5, 5), (7, 9), (30, 0), (4, 3)]:
        spans = [ref.spans[0] for ref in refs]
        expected = {
            ref.object for ref, s in zip(refs, spans, strict=True) if s.may_hold(key(*position))
        }
        assert {page.object for page in table.candidates(key(*position))} == expected


@pytest.mark.parametrize("shared", [False, True])
async def test_interleaved_parts_are_told_apart_by_their_keys(shared) -> None:
    place = place_of(MemoryStore(), "")
    writers = []
    for i in range(5):
        positions = [(row, 5 * column + i) for row in range(6) for column in range(7)]
        if shared and i == 3:
            positions.append((4, 5 * 2))
        ref, body = referred(part_of(run_of(positions), worker=f"w{i}"), f"{i:016x}")
        await start(place.create, ref.object, body)
        writers.append(Writer(f"w{i}", ref.spans, ref))

    async def check() -> list[Clash]:
        found = find_clashes(writers, {FAMILY.id: FAMILY}, place)
        return [clash async for some in found for clash in some]

    if shared:
        with pytest.raises(FailedPrecondition, match="w0 and w3 both wrote 'image/c/4/10'"):
            await start(check)
    else:
        assert await start(check) == []


async def filled(tmp_path, parts: int = 3) -> at.Repository:
    """A repository whose newest commit has parts: rows of chunks, and a document of each."""
    repo = await at.Repository.open(f"file://{tmp_path}/lab/", create=True)
    store = repo.kvstore("image/c/")
    async with repo.transaction(message="before") as before:
        for i in range(4 * parts):
            await store.with_transaction(before).write(f"{i % parts}/{i // parts}", b"old")
        await repo.kvstore(transaction=before).write("kept", b"old")
    txn = repo.transaction(message="parts")
    await repo.kvstore("image/c/", transaction=txn).delete_range(at.KvStore.KeyRange("1/", "10"))
    token = txn.share()
    for i in range(parts):
        part = await at.Transaction.join(token)
        mine = repo.kvstore(transaction=part)
        await mine.write(f"image/c/{i}/0", b"new" * 5000)
        await mine.write(f"image/c/{i}/7", b"new")
        await mine.write(f"document {i}", b"new")
        if i == 2:
            await mine.write("kept", None)
        txn.add(await part.finish(worker=f"{i}"))
    await txn.commit_async()
    return repo


STATE = sorted(
    [f"document {i}" for i in range(3)]
    + [f"image/c/{i}/{j}" for i in (0, 2) for j in (0, 1, 2, 3, 7)]
    + ["image/c/1/0", "image/c/1/7"]
)


async def test_parts_are_found_listed_and_in_the_log(tmp_path) -> None:
    repo = await filled(tmp_path)
    store = repo.kvstore()
    assert sorted(map(bytes.decode, await store.list())) == STATE
    for name in STATE:
        value = (await store.read(name)).value
        assert value == (b"new" * 5000 if name.endswith("/0") else value)
        assert value[:3] == (b"old" if name[-1] in "123" and "/" in name else b"new")
    assert (await store.read("image/c/1/1")).state == "missing"
    assert (await store.read("kept")).state == "missing"
    below = repo.kvstore().store.list_directory("image/c/")
    assert sorted([each.key async for each in below]) == [f"image/c/{i}/" for i in range(3)]
    (newest, before) = [each async for each in repo.log()]
    assert sorted(newest.changes.documents) == ["document 0", "document 1", "document 2"]
    assert newest.changes.deleted == ("kept",)
    assert newest.changes.chunks == {"image/c/": 6}
    changes = await repo.diff(before.id, newest.id)
    assert "document 1" in repr(changes)


async def places(snapshot: Snapshot, name: str) -> tuple[object, ...]:
    """Which commit wrote a value, and where it is."""
    found = await start(snapshot.find, name)
    assert found is not None
    version, ref = found
    return version, ref.object, ref.offset, ref.size, ref.crc, ref.inline


async def test_a_fold_adopts_parts_and_batches_give_the_same(tmp_path, monkeypatch) -> None:
    repo = await filled(tmp_path)
    state = repo.kvstore().store.state
    branch = state.named["main"]
    before = branch.newest()
    expected = [await places(before, name) for name in STATE]
    assert before.tail.in_parts == 10
    folding = "asynctensor.kvstores.repo.folding"
    monkeypatch.setattr(f"{folding}._BATCH", 2)
    await start(branch.folder, branch)
    after = branch.newest()
    assert after.tail.in_parts == 0
    assert [await places(after, name) for name in STATE] == expected
    assert sorted(map(bytes.decode, await repo.kvstore().list())) == STATE


async def test_a_commit_with_many_changes_in_parts_is_folded_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("asynctensor.kvstores.repo.fold_due._FOLD_IN_PARTS", 10)
    repo = await filled(tmp_path)
    branch = repo.kvstore().store.state.named["main"]

    async def folded() -> None:
        if branch.folding is not None:
            await branch.folding

    await start(folded)
    assert branch.newest().tail.in_parts == 0
    assert sorted(map(bytes.decode, await repo.kvstore().list())) == STATE


async def test_a_commit_with_parts_can_be_reverted(tmp_path) -> None:
    repo = await filled(tmp_path)
    newest, before = [each async for each in repo.log()]
    await repo.revert(newest.id)
    old = repo.kvstore(snapshot=before.id)
    assert sorted(await repo.kvstore().list()) == sorted(await old.list())
    assert (await repo.kvstore().read("image/c/1/0")).value == b"old"


async def test_what_a_tail_with_parts_comes_to(tmp_path) -> None:
    repo = await filled(tmp_path)
    snapshot = repo.kvstore().store.state.named["main"].newest()
    changes = await start(snapshot.pages.run, changes_of(snapshot.tail, snapshot.count))
    run = changes.runs[FAMILY.id]
    assert [FAMILY.spell(run.key(i)) for i in range(len(run))] == [
        name for name in STATE if name.startswith("image/c/")
    ]


async def test_a_part_that_is_gone_or_damaged_is_told(tmp_path) -> None:
    repo = await filled(tmp_path)
    some = sorted(each for each in (tmp_path / "lab" / "part").rglob("*") if each.is_file())
    whole = some[0].read_bytes()
    some[0].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    some[1].unlink()
    some[2].write_bytes(whole)
    state = repo.kvstore().store.state
    state.pages.after_fork()
    branch = state.named["main"]
    (commit,) = [e.entry for e in branch.newest().tail.applied if e.entry.parts]
    for ref in commit.parts:
        with pytest.raises(DataLoss):
            await start(read_part, state.place, ref)
