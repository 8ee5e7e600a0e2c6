"""A shared transaction of which two coordinators hold the token (H14), as it was found."""

from __future__ import annotations

import pytest

from asynctensor.errors import Aborted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.commits import RepositoryCommits
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.shared_transaction import Receipt, SharedCommit, SharedTransaction
from tests.kvstores.repo.holes.wire import Process, crew, play

#: Gets a pack of its own.
LARGE = bytes(20_000)


def domain(process: Process) -> RepositoryCommits:
    found = process.store.commit_domain
    assert found is not None
    return found


async def begun(first: Process) -> tuple[SharedTransaction, Receipt]:
    """A transaction that is shared, and the part of a worker."""
    commits = domain(first)
    mark = commits.mark()
    await mark.snapshot()
    token = await commits.share(Commit(mark=mark))
    joined = await commits.join(token)
    part = Commit(values={"part": LARGE}, mark=joined, shared=SharedCommit(token))
    return token, await commits.write_part(part, "w", 0)


async def commit(process: Process, token: SharedTransaction, receipt: Receipt) -> str | None:
    """What a coordinator does."""
    mark = await domain(process).resume(token)
    shared = SharedCommit(token, (receipt,))
    return (await domain(process).commit(Commit(mark=mark, shared=shared))).commit_id


async def data(base: MemoryStore) -> int:
    return len([entry async for entry in base.list(KeyRange.prefix("data/"))])


@pytest.mark.parametrize("late", [False, True])
def test_h14_one_aborts_while_the_other_commits(late: bool) -> None:
    """The first gives up while the record of the second is on its way: whichever the log has first
    holds for both, and nothing is deleted of what is committed."""

    async def trace(base: MemoryStore) -> None:
        first, second = await crew(base, 2)
        token, receipt = await begun(first)
        stored = await data(base)
        told: list[bool] = []

        async def abort() -> None:
            told.append(await domain(first).abandon(token))

        (second.wire.after if late else second.wire.before)("write", "log/", abort)
        if late:
            assert await commit(second, token, receipt) is not None
            # It was told that it is committed, and nothing was aborted.
            assert told == [False]
        else:
            with pytest.raises(Aborted, match="its abort stands in the log"):
                await commit(second, token, receipt)
            assert told == [True]
        for process in (first, second, Process(base)):
            assert await process.get("part") == (LARGE if late else None)
        # Only a collector takes what was stored, once the log has the abort (R12).
        assert await data(base) == stored
        outcomes = await first.outcomes(bytes.fromhex(token.id))
        assert outcomes == (["commit"] if late else ["abort"])

    play(trace)


def test_h14_two_that_commit_make_one_commit() -> None:
    async def trace(base: MemoryStore) -> None:
        first, second = await crew(base, 2)
        token, receipt = await begun(first)
        ids: list[str | None] = []

        async def other() -> None:
            ids.append(await commit(second, token, receipt))

        first.wire.before("write", "log/", other)
        ids.append(await commit(first, token, receipt))
        assert len(set(ids)) == 1
        assert await first.outcomes(bytes.fromhex(token.id)) == ["commit"]
        assert await Process(base).get("part") == LARGE

    play(trace)
