"""Whose turn it is to fold, and that no turn is missed."""

from __future__ import annotations

import asyncio

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.branch import Branch
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.folding import folded
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.commit_domain import Commit

#: Keys of a commit after which the tail is folded at once.
MANY = 12_000


async def test_commits_during_a_fold_are_folded_behind_it() -> None:
    state = RepositoryState(place_of(MemoryStore(), ""))
    store = RepositoryStore(state, source_of(state, {}))
    folds: list[int] = []

    async def program() -> Branch:
        await state.create()
        branch = await state.branch(MAIN)
        loaded = asyncio.Event()

        async def slowly(branch: Branch) -> None:
            snapshot = branch.newest()
            folds.append(snapshot.version[0])
            checkpoint = await folded(snapshot, await branch.record(folds[-1]), state.place)
            await loaded.wait()
            await branch.rest_on(checkpoint)

        branch.folder = slowly
        domain = store.commit_domain
        assert domain is not None
        for number in range(4):
            values = {f"x/{number}/{i}": b"v" for i in range(MANY)}
            await domain.commit(Commit(values=values))
        loaded.set()
        while branch.folding is not None:
            await branch.folding
            # What follows a fold is begun by a callback.
            await asyncio.sleep(0)
        return branch

    branch = await start(program)
    assert folds == [1, 4]
    assert branch.newest().tail.base[0] == 4
    assert not branch.newest().tail.applied


async def test_a_fold_that_brings_nothing_is_not_begun_again() -> None:
    state = RepositoryState(place_of(MemoryStore(), ""))
    store = RepositoryStore(state, source_of(state, {}))
    folds: list[int] = []

    async def program() -> None:
        await state.create()
        branch = await state.branch(MAIN)

        async def in_vain(branch: Branch) -> None:
            folds.append(branch.newest().version[0])

        branch.folder = in_vain
        domain = store.commit_domain
        assert domain is not None
        await domain.commit(Commit(values={f"x/{i}": b"v" for i in range(MANY)}))
        while branch.folding is not None:
            await branch.folding
            await asyncio.sleep(0)

    await start(program)
    assert folds == [1]
