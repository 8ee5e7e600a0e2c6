"""What a waiting transaction is judged against: each record of the log once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import branch, judging
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.fault_presets import RELIABLE
from asynctensor.testing.store_faults import UnreliableStore


def test_who_keeps_losing_judges_no_record_twice(monkeypatch) -> None:
    """Else a slow writer beside fast ones works ever longer, and never gets to write."""
    tries: Counter[bytes] = Counter()
    judged: defaultdict[bytes, list[int]] = defaultdict(list)

    def noted(proposal, since, accepted, **options: Any):
        tries[proposal.entry.txn] += 1
        judged[proposal.entry.txn] += [record.seq for record in since]
        return judging.judge(proposal, since, accepted, **options)

    monkeypatch.setattr(branch, "judge", noted)
    base = UnreliableStore(MemoryStore(), replace(RELIABLE, latency=0.016, slow=0.0), seed=1)

    async def writer(name: str) -> None:
        state = RepositoryState(place_of(base.another(), ""))
        store = RepositoryStore(state, source_of(state, {}))
        for i in range(20):
            await store.write(f"{name}/{i}", b"x")

    async def main() -> None:
        await RepositoryState(place_of(base, "")).create()
        await asyncio.gather(*(writer(f"{i}") for i in range(6)))

    simulate(main, 1)
    assert max(tries.values()) > 3
    for seqs in judged.values():
        assert len(set(seqs)) == len(seqs)
