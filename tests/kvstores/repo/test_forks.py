"""Branches forked at a commit that shares its record with later ones, which are not theirs."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.commit_walk import CommitWalk
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.listing import listed
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange


async def keys(snapshot: Snapshot) -> list[str]:
    return [key async for key, _ in listed(snapshot, KeyRange())]


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("nested", [False, True])
async def test_a_fork_within_a_record(folded: bool, nested: bool) -> None:
    base = MemoryStore()
    name = "nested" if nested else "fix"

    def opened(branch: str) -> tuple[RepositoryState, RepositoryStore]:
        state = RepositoryState(place_of(base, "lab/"))
        return state, RepositoryStore(state, source_of(state, {"branch": branch}))

    async def program() -> None:
        state, store = opened("main")
        await state.create()
        await store.write("first", b"x")
        await asyncio.gather(*(store.write(f"k{i}", b"x") for i in range(5)))
        walked = await CommitWalk(state, "main").more()
        record = walked[0].id.partition(".")[0]
        group = [each for each in walked if each.id.partition(".")[0] == record]
        assert len(group) >= 3
        fork = group[-2]
        if folded:
            await fold_branch(await state.branch("main"), state.place)
        await Naming(state).create_branch("fix", fork.id)
        if nested:
            await Naming(state).create_branch("nested", "fix")
        expected = await keys(await state.snapshot_of(fork.id))
        ids = [each.id for each in walked if walked.index(each) >= walked.index(fork)]
        state, store = opened(name)
        assert await keys((await state.branch(name)).newest()) == expected
        assert [each.id for each in await CommitWalk(state, name).more()] == ids
        await store.write("z", b"x")
        state, store = opened(name)
        newest = await state.history.snapshot(*await state.find_state(name))
        for snapshot in (newest, (await state.branch(name)).newest()):
            assert await keys(snapshot) == [*expected, "z"]
        assert [each.id for each in await CommitWalk(state, name).more()][1:] == ids

    await start(program)
