"""Several of one process commit and abort the same transaction: it has one outcome."""

from __future__ import annotations

import asyncio

from asynctensor.errors import Aborted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.proposal import Landed
from tests.kvstores.repo.holes.wire import crew, play


def test_a_commit_and_its_abort_never_share_a_record() -> None:
    async def trace(base: MemoryStore) -> None:
        (one,) = await crew(base, 1)
        proposal = await one.proposal({"a": b"1"})
        aborted, committed = await asyncio.gather(
            one.abort(proposal), one.commit(proposal), return_exceptions=True
        )
        assert isinstance(aborted, Landed)
        (outcome,) = await one.outcomes(proposal.entry.txn)
        if outcome == "commit":
            assert aborted == committed
            assert aborted.committed
            assert await one.get("a") == b"1"
        else:
            assert not aborted.committed
            assert isinstance(committed, Aborted)
            assert await one.get("a") is None

    play(trace)


def test_who_commits_the_same_at_once_gets_the_same() -> None:
    async def trace(base: MemoryStore) -> None:
        (one,) = await crew(base, 1)
        proposal = await one.proposal({"a": b"1"})
        first, second = await asyncio.gather(one.commit(proposal), one.commit(proposal))
        assert first == second
        assert await one.outcomes(proposal.entry.txn) == ["commit"]

    play(trace)
