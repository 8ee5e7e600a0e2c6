"""Edits of one document that come together, are repeated, or are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynctensor.drivers.json.document import JsonDocument
from asynctensor.drivers.json.edit import Edit, edited
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.workers import shared_pool
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer


def test_edits_can_be_applied_again() -> None:
    edits = [Edit(("a",), []), Edit(("a", "-"), 1), Edit(("a", "-"), {}), Edit(("a", "1", "b"), 2)]
    assert edited(b"{}", edits) == edited(b"{}", edits) == (b'{"a":[1,{"b":2}]}', [None] * 4)


class Gated(MemoryStore):
    """A store whose writes wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.gate = asyncio.Event(), asyncio.Event()

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = b""
    ) -> TimestampedStorageGeneration:
        self.arrived.set()
        await self.gate.wait()
        return await super().write(key, value, if_equal)


async def _cancelled(which: int) -> tuple[bytes, list[Any]]:
    """Two edits, of which the second waits for the first; one of them is cancelled meanwhile."""
    store = Gated()
    document = JsonDocument(store, "a", shared_pool("data_copy", 1))
    first = asyncio.create_task(document.edit(Edit(("first",), 1)))
    await store.arrived.wait()
    second = asyncio.create_task(document.edit(Edit(("second",), 2)))
    await asyncio.sleep(0)
    (first, second)[which].cancel()
    await asyncio.sleep(0)
    store.gate.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    return (await store.read("a")).value, [type(each) for each in outcomes]


@pytest.mark.parametrize(("which", "stored"), [(0, b'{"first":1,"second":2}'), (1, b'{"first":1}')])
async def test_cancelled_edits(which: int, stored: bytes) -> None:
    value, outcomes = await start(_cancelled, which)
    assert value == stored
    assert outcomes[which] is asyncio.CancelledError
    assert outcomes[1 - which] is type(None)


async def _ended_before_it_began() -> bytes:
    """A loop ends right after an edit has come: all its tasks are cancelled."""
    store = MemoryStore()
    document = JsonDocument(store, "a", shared_pool("data_copy", 1))
    edit = asyncio.create_task(document.edit(Edit(("first",), 1)))
    await asyncio.sleep(0)
    storing = document._task
    assert storing is not None
    for each in (edit, storing):
        each.cancel()
    await asyncio.wait([edit, storing])
    assert edit.cancelled()
    await document.edit(Edit(("second",), 2))
    return (await store.read("a")).value


async def test_edits_go_on_after_one_that_was_cancelled_before_it_began() -> None:
    assert await start(_ended_before_it_began, timeout=60) == b'{"second":2}'
