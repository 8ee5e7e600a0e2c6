"""What a commit costs depends on what it changes, and on nothing else (promise 6)."""

from __future__ import annotations

import pytest

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.storage.commit_domain import Commit
from asynctensor.testing.deterministic_loop import simulate
from tests.kvstores.repo.holes.wire import Process


async def cost(chunks: int, commits: int, arrays: int) -> tuple[list[tuple[str, str]], int]:
    """Requests, by kind of object, and bytes of the record, of a warm commit of one chunk."""
    base = MemoryStore()
    process = Process(base)
    await process.state.create()
    domain = process.store.commit_domain
    assert domain is not None
    keys = [f"a{i}/c/{chunk}/0" for i in range(arrays) for chunk in range(chunks)]
    for start in range(0, len(keys), 4096):
        await domain.commit(Commit(values=dict.fromkeys(keys[start : start + 4096], b"x")))
    for i in range(commits):
        await process.put(f"history/{i}/1")
    branch = await process.branch()
    await fold_branch(branch, process.state.place)
    # Warm: this process has read there before.
    await process.store.read("a0/c/0/0")
    process.wire.sent.clear()
    await process.put("a0/c/1/0", b"y")
    slot = objects.log_slot(branch.id, branch.log.tail)
    size = len((await base.read(slot)).value)
    return [(what, key.partition("/")[0]) for what, key in process.wire.sent], size


@pytest.mark.parametrize(
    ("chunks", "commits", "arrays"), [(10_000, 2, 1), (10, 200, 1), (10, 2, 500)]
)
def test_neither_size_nor_history_makes_a_commit_dearer(
    chunks: int, commits: int, arrays: int
) -> None:
    requests, size = simulate(lambda: cost(10, 2, 1), 1)
    assert requests == [("write", "log")]
    assert size < 300
    more, larger = simulate(lambda: cost(chunks, commits, arrays), 1)
    assert more == requests
    # Numbers that are longer to write.
    assert larger <= size + 16
