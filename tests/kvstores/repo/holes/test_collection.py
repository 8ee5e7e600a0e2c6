"""Holes of collection that readers meet already (H27), each replayed as it was found."""

from __future__ import annotations

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.holes.wire import Process, play


async def folded(process: Process) -> int:
    """Folds the newest state; gives its slot."""
    branch = await process.branch()
    await fold_branch(branch, process.state.place)
    return branch.log.tail


async def packs(base: MemoryStore) -> set[str]:
    """The packs of pages that there are."""
    return {entry.key async for entry in base.list(KeyRange.prefix("idx/"))}


def test_h27_the_pages_of_an_older_checkpoint_are_taken() -> None:
    """R has opened a snapshot through a checkpoint and a tail; a newer checkpoint appears, and the
    pages of the older one go: the snapshot is there all the same (R21)."""

    async def trace(base: MemoryStore) -> None:
        a = Process(base)
        await a.state.create()
        for i in range(8):
            await a.put(f"k{i}", b"%d" % i)
        first = await folded(a)
        reader = Process(base)
        # Nothing of the pages comes along when it opens the branch.
        reader.wire.deaf("read", "idx/", times=100)
        branch = await reader.branch()
        old = await packs(base)
        for i in range(4, 12):
            await a.put(f"k{i}", b"new %d" % i)
        second = await folded(a)
        await branch.refresh()
        for name in old:
            await base.write(name, None)
        await base.write(objects.checkpoint(branch.id, first), None)
        reader.wire._hooks.clear()
        reader.wire.sent.clear()
        found = [await reader.store.read(f"k{i}") for i in range(12)]
        assert [each.value for each in found] == [
            *(b"%d" % i for i in range(4)),
            *(b"new %d" % i for i in range(4, 12)),
        ]
        # Through the newer checkpoint, and not through the log.
        assert ("read", objects.checkpoint(branch.id, second)) in reader.wire.sent
        assert not any(key.startswith("log/") for _, key in reader.wire.sent)
        # Also who sees an older state of the same branch, which no checkpoint stands for any more.
        history = reader.state.history
        before = await history.snapshot(branch.log.lineage, (first, 0))
        places = await before.find_many([f"k{i}" for i in range(12)])
        assert [each is not None for each in places] == [True] * 8 + [False] * 4

    play(trace)
