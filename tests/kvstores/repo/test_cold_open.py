"""What a process asks for that knows nothing of a repository: each round is a round trip."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

ROWS = 20_000


def opened(base: FaultyStore) -> RepositoryStore:
    """As by a process of its own."""
    state = RepositoryState(place_of(base, ""))
    return RepositoryStore(state, source_of(state, {}))


@pytest.fixture
async def base() -> FaultyStore:
    base = FaultyStore(MemoryStore())
    store = opened(base)
    await start(store.state.create)
    layout = at.ChunkLayout(chunk_shape=[1, 8])
    array = await open_over(store, dtype="uint16", shape=[ROWS, 8], chunk_layout=layout)
    async with at.Transaction() as txn:
        rows = np.arange(1, ROWS + 1, dtype=np.uint16)
        await array.with_transaction(txn).write(np.repeat(rows[:, None], 8, axis=1))
    branch = await start(store.state.branch, MAIN)
    if branch.folding is not None:
        await start(_waited, branch)
    return base


async def _waited(branch) -> None:
    while branch.folding is not None:
        await branch.folding


async def test_a_large_commit_is_folded_at_once(base) -> None:
    assert base.count("write", lambda key: key.startswith("ckpt/")) == 1


async def test_a_chunk_is_read_in_few_rounds(base) -> None:
    base.requests.clear()
    array = await open_over(opened(base))
    assert (await array[12345].read()).tolist() == [12346] * 8
    asked = [each.key.split("/")[0] for each in base.requests if each.operation == "read"]
    assert len(asked) == len(base.requests), "nothing is listed"
    assert "ckpt" not in asked, "the hint holds it"
    assert asked.count("hint") == asked.count("repo.json") == asked.count("data") == 1
    assert asked.count("idx") == 2, "the roots together, and one leaf"
    assert asked.index("hint") < asked.index("idx") < asked.index("data")


async def test_a_hint_that_cannot_be_had_costs_only_time(base) -> None:
    base.fail("read", Unavailable("not now"), when=lambda key: key.startswith("hint/"))
    array = await open_over(opened(base))
    assert (await array[77].read()).tolist() == [78] * 8


async def test_roots_that_cannot_be_had_beforehand_are_asked_for_later(base) -> None:
    base.fail("read", Unavailable("not now"), when=lambda key: key.startswith("idx/"))
    array = await open_over(opened(base))
    assert (await array[77].read()).tolist() == [78] * 8


def is_index(key: str) -> bool:
    return key.startswith("idx/")


async def found_together(base: FaultyStore, keys: list[str], cancelled: int, failed: int) -> list:
    """Finds keys at once that a process knows nothing of.

    The first so many are given up, or requests of the index fail.
    """
    snapshot = await opened(base).source.snapshot()
    base.requests.clear()
    gate = base.hold("read", when=is_index)
    base.fail("read", Unavailable("lost"), when=is_index, times=failed)
    finding = [asyncio.ensure_future(snapshot.find(key)) for key in keys]
    await gate.reached()
    for each in finding[:cancelled]:
        each.cancel()
    gate.open()
    return await asyncio.gather(*finding, return_exceptions=True)


async def test_who_wants_a_page_that_is_on_its_way_waits_for_it(base) -> None:
    keys = [f"c/{row}/0" for row in range(0, ROWS, 100)]
    found = await start(found_together, base, keys, 0, 0)
    assert len(set(found)) == len(keys)
    # 20,000 rows are some leaves of at most 4,096 keys.
    assert base.count("read", is_index) <= 10
    # Whoever gives up, or fails, takes the page from nobody else.
    others = await start(found_together, base, keys, 1, 0)
    assert isinstance(others[0], asyncio.CancelledError)
    assert others[1:] == found[1:]
    others = await start(found_together, base, keys, 0, 1)
    assert isinstance(others[0], Unavailable)
    assert others[1:] == found[1:]
