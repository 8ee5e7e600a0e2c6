"""Names, branches, resets and what lies beside the log, read by who knows the document alone."""

from __future__ import annotations

from dataclasses import replace

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.commit_walk import CommitWalk
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.lease import Lease
from asynctensor.kvstores.repo.log import Filled
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.objects import log_slot
from asynctensor.kvstores.repo.record import AbortEntry, FloorEntry, SweepEntry
from asynctensor.kvstores.repo.snapshot_id import parse_snapshot_id, snapshot_id
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.deterministic_loop import simulate
from tests.kvstores.repo.holes.wire import Process
from tests.kvstores.repo.independent_reader import Repository

LARGE = bytes(range(250)) * 40


async def contents(process: Process, **members: str) -> dict[str, bytes]:
    """Every key of a state, with its value, as the library reads it."""
    store = RepositoryStore(process.state, source_of(process.state, members))
    return {e.key: (await store.read(e.key)).value async for e in store.list(KeyRange())}


async def objects(base: MemoryStore) -> dict[str, bytes]:
    return {entry.key: (await base.read(entry.key)).value async for entry in base.list(KeyRange())}


async def lived(base: MemoryStore) -> Process:
    """A repository in which everything happened once."""
    process = Process(base)
    await process.state.create()
    naming, edits = Naming(process.state), Edits(process.state)
    for i in range(4):
        await process.put(f"image/c/{i}/0", LARGE if i % 2 else b"%d" % i)
    branch = await process.branch()
    domain = process.store.commit_domain
    assert domain is not None
    await domain.commit(Commit(values={"job": b"done"}, caller_key="job é"))
    await fold_branch(branch, process.state.place)
    await domain.commit(Commit(values={"job 2": b"done"}, caller_key="job 2"))
    ids = [snapshot_id(branch.id, (seq, 0)) for seq in range(1, branch.log.tail + 1)]
    await naming.create_tag("V 1.é", ids[2], "why", "ada")
    await naming.create_tag("gone", ids[2], None, None)
    await naming.delete_tag("gone")
    await naming.create_branch(".Fix", ids[3])
    await edits.revert("main", ids[1], None, None)
    await edits.reset("main", ids[2], None, None, None)
    await process.put("behind the reset", b"1")
    await process.store.delete_range(KeyRange.prefix("image/c/0"))
    fix = RepositoryStore(process.state, source_of(process.state, {"branch": ".Fix"}))
    await fix.write("image/c/9/9", LARGE)
    await naming.create_branch("further", ".Fix")
    further = RepositoryStore(process.state, source_of(process.state, {"branch": "further"}))
    await further.write("further", b"1")
    await fold_branch(branch, process.state.place)
    await process.put("image/c/7/7", b"7")
    return process


def test_a_stranger_reads_all_states_by_their_names() -> None:
    async def main() -> None:
        base = MemoryStore()
        process = await lived(base)
        stranger = Repository(await objects(base))
        for name in ("main", ".Fix", "further"):
            id_ = stranger.branch(name)
            there = stranger.state(id_, stranger.newest(id_))
            assert stranger.values(there) == await contents(process, branch=name)
        branch, version = stranger.tagged("V 1.é")
        tagged = stranger.values(stranger.state(branch, version))
        assert tagged == await contents(process, tag="V 1.é")
        assert stranger.named("t", "gone") is None
        main_id = stranger.branch("main")
        for seq in range(1, stranger.newest(main_id)[0] + 1):
            id_ = snapshot_id(main_id, (seq, 0))
            found = stranger.state(*_parsed(id_))
            assert stranger.values(found) == await contents(process, snapshot=id_)

    simulate(main, 1)


def test_a_stranger_reads_logs_that_collectors_and_merges_wrote_into() -> None:
    """And the end of a branch; and an entry of a later version, which readers pass over."""

    async def main() -> None:
        base = MemoryStore()
        process = await lived(base)
        branch = await process.branch()
        fix = await process.state.branch(".Fix")
        merged = fix.newest().version
        proposal = await process.proposal({"image/c/9/9": LARGE, "image/c/1/0": None})
        pack = (await process.state.snapshot_of(f"{fix.id}-{merged[0]}")).tail.applied[-1]
        adopted = pack.entry.runs[0].objects()
        merge = replace(
            proposal.entry, kind="merge", target=(fix.id, *merged[:1], 0), adopts=tuple(adopted),
            message="merge", metadata={"by": "hand"},
        )  # fmt: skip
        floor = branch.log.tail + 1
        for entries in (
            (FloorEntry(4), AbortEntry(bytes(16)), merge),
            (SweepEntry(floor, ("ref/t/V%201.%c3%a9/0", f"lease/{'0' * 16}/0")),),
            # A second collector's, which does not count.
            (SweepEntry(floor, ()), FloorEntry(5)),
        ):
            filled = await branch._fill(list(entries))
            assert filled is Filled.OURS
        await unknown_entry(base, process)
        await fix.close()
        stranger = Repository(await objects(base))
        assert stranger.floors(branch.id) == [
            (4, [f"lease/{'0' * 16}/0", "ref/t/V%201.%c3%a9/0"]), (5, None),
        ]  # fmt: skip
        last = stranger.log(branch.id, stranger.newest(branch.id))[-1]
        assert (last.version, last.kind, last.target) == ((floor, 2), "merge", [
            bytes.fromhex(fix.id), merged[0], 0,
        ])  # fmt: skip
        assert (last.message, last.metadata) == ("merge", {"by": "hand"})
        assert stranger.closed(fix.id)
        assert not stranger.closed(branch.id)
        other = Process(base)
        there = stranger.values(stranger.state(branch.id, stranger.newest(branch.id)))
        assert there == await contents(other, branch="main")
        assert there["image/c/9/9"] == LARGE
        assert "image/c/1/0" not in there
        there = stranger.values(stranger.state(fix.id, stranger.newest(fix.id)))
        assert there == await contents(other, snapshot=snapshot_id(fix.id, (merged[0], 0)))

    simulate(main, 1)


async def unknown_entry(base: MemoryStore, process: Process) -> None:
    """A record with nothing but an entry that nobody knows."""
    branch = await process.branch()
    seq = branch.log.tail + 1
    body = frame.encode(
        Kind.RECORD,
        [bytes.fromhex(branch.id), seq, branch.log.digest, branch._next_time(), [[9, "later"]]],
    )
    await base.write(log_slot(branch.id, seq), body)


def test_a_stranger_reads_the_log() -> None:
    async def main() -> None:
        base = MemoryStore()
        process = await lived(base)
        stranger = Repository(await objects(base))
        for name in ("main", ".Fix", "further"):
            id_ = stranger.branch(name)
            walk = CommitWalk(process.state, name)
            walked = []
            while some := await walk.more():
                walked += some
            found = stranger.log(id_, stranger.newest(id_))
            for mine, ours in zip(found[::-1], walked, strict=True):
                _, version = parse_snapshot_id(ours.id)
                entry = ours.entry
                assert (mine.version, mine.time) == (version, entry.time)
                assert (mine.message, mine.author) == (entry.message, entry.author)
                assert (mine.metadata, mine.isolation) == (entry.metadata, entry.isolation)
                assert (mine.kind, mine.caller_key) == (entry.kind, entry.caller_key)

    simulate(main, 1)


def _parsed(text: str) -> tuple[str, tuple[int, int]]:
    return parse_snapshot_id(text)


def test_a_stranger_reads_what_lies_beside_the_log() -> None:
    async def main() -> None:
        base = MemoryStore()
        process = await lived(base)
        proposal = await process.proposal({"image/c/5/5": b"1", "offered": b"2"}, ("job",))
        await process.offer(proposal)
        branch = await process.branch()
        leases = [Lease(branch.id, (2, 0), branch.id, bytes([i]) * 16, 5) for i in range(2)]
        for lease in leases:
            await base.write(lease.name(0), lease.encode())
        await base.write(leases[1].name(1), leases[1].encode())
        found = await objects(base)
        stranger = Repository(found)
        seq, checkpoint, copy = stranger.hinted(branch.id)
        assert seq == checkpoint == branch.log.tail - 1
        assert copy == found[f"ckpt/{branch.id}/{2**63 - 1 - seq:016x}"]
        # A reset does not undo them.
        assert stranger.caller_keys(branch.id, seq) == {"job é": (5, 0), "job 2": (6, 0)}
        assert stranger.caller_keys(branch.id, 5) == {"job é": (5, 0)}
        (intent,) = stranger.intents(branch.id)
        assert intent[0] == proposal.entry.txn
        assert sorted(intent[1]) == ["image/c/5/5", "offered"]
        assert intent[2] == ["job"]
        assert sorted(stranger.leases()) == [
            (branch.id, (2, 0), bytes([0]) * 16, True),
            (branch.id, (2, 0), bytes([1]) * 16, False),
        ]

    simulate(main, 1)
