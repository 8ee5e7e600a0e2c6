"""What a process asks for that knows nothing of a repository: each round is a round trip."""

from __future__ import annotations

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
