"""Contention in virtual time: commits of disjoint keys a second, on a store 20 ms away."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.fault_presets import RELIABLE
from asynctensor.testing.store_faults import UnreliableStore

#: 20 ms there and back on average.
_STORE = replace(RELIABLE, latency=0.016, slow=0.0)
#: Between two commits of one writer.
_THINKING = 0.1
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen in the time that was measured."""

    per_second: float
    p95: float
    least: int
    most: int
    requests: float


def measured(processes: int, tasks: int, seed: int) -> Measured:
    """Lets writers write for some virtual seconds, and one to come to speed."""
    base = UnreliableStore(MemoryStore(), _STORE, seed=seed)
    commits: Counter[str] = Counter()
    waits: list[float] = []
    before = 0

    async def writer(store: RepositoryStore, name: str) -> None:
        loop = asyncio.get_running_loop()
        for i in range(10_000):
            began = loop.time()
            await store.write(f"{name}/{i}", b"x" * 100)
            if before:
                waits.append(loop.time() - began)
                commits[name] += 1
            await asyncio.sleep(_THINKING)

    async def main() -> None:
        nonlocal before
        await RepositoryState(place_of(base, "")).create()
        writers: list[asyncio.Task[None]] = []
        for process in range(processes):
            state = RepositoryState(place_of(base.another(), ""))
            store = RepositoryStore(state, source_of(state, {}))
            writers += [
                asyncio.ensure_future(writer(store, f"{process}-{task}")) for task in range(tasks)
            ]
        await asyncio.sleep(1.0)
        before = base.requests.total()
        await asyncio.sleep(_SECONDS)
        sent = base.requests.total() - before
        for each in writers:
            each.cancel()
        nonlocal requests
        requests = sent / commits.total()

    requests = 0.0
    simulate(main, seed)
    waits.sort()
    return Measured(
        commits.total() / _SECONDS,
        waits[int(len(waits) * 0.95)],
        min(commits.values()),
        max(commits.values()),
        requests,
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_sixteen_strangers(seed: int) -> None:
    """Each record takes along whoever waits; a plain log gives 34 a second, and 1 s."""
    found = measured(16, 1, seed)
    assert found.per_second > 60, found
    assert found.p95 < 0.3, found
    assert found.least * 2 > found.most, found
    assert found.requests < 20, found


def test_sixty_four_tasks_of_one_process() -> None:
    """They share records: fewer requests than commits."""
    found = measured(1, 64, 1)
    assert found.per_second > 450, found
    assert found.p95 < 0.1, found
    assert found.requests < 0.5, found


def test_two_processes_of_many_tasks() -> None:
    found = measured(2, 16, 1)
    assert found.per_second > 100, found
    assert found.least * 2 > found.most, found
