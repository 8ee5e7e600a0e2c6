"""Servers that fail by themselves, and not a proxy in front of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import pytest

import asynctensor as ts
from asynctensor.errors import Unavailable
from asynctensor.scheduler.gate import shared_gate
from tests.servers.faulty_servers import FAULTS, FaultyServer
from tests.servers.scripted import Asked, Said, ScriptedServer

VALUE = bytes(range(256)) * 200
RETRIES = {"max_retries": 4, "initial_delay": "1ms", "max_delay": "2ms"}
_serial = itertools.count()


@pytest.fixture(params=FAULTS)
def fault(request) -> str:
    return request.param


@pytest.fixture
def name(faulty_server) -> str:
    """A name that nothing was asked by yet; below it lies a value."""
    (faulty_server.folder / "value").write_bytes(VALUE)
    return f"{os.getpid()}-{next(_serial)}"


async def opened(server: FaultyServer, fault: str, times: int, name: str) -> ts.KvStore:
    context = ts.Context({"http_request_retries": RETRIES})
    return await ts.KvStore.open(server.url(fault, times, name), context=context)


@pytest.mark.parametrize("part", [None, slice(1000, 3000)])
async def test_what_fails_for_a_while_is_asked_again(faulty_server, fault, name, part) -> None:
    store = await opened(faulty_server, fault, 3, name)
    found = await store.read("value", byte_range=part)
    assert found.value == VALUE[part or slice(None)]
    assert await asyncio.to_thread(faulty_server.count, name) == 4
    # And what does not fail is asked once.
    assert (await store.read("value")).value == VALUE
    assert await asyncio.to_thread(faulty_server.count, name) == 5


async def test_what_keeps_failing_is_given_up(faulty_server, fault, name) -> None:
    store = await opened(faulty_server, fault, 1000, name)
    with pytest.raises(Unavailable, match="5 attempts") as caught:
        await store.read("value")
    assert caught.value.operation == "read"
    assert caught.value.key == f"/f/{fault}/1000/{name}/value"
    # Also the first one counts, which was made without a task. On a connection that had been used
    # before, to close it without a word is no answer to the request: that is sent on another one.
    asked = await asyncio.to_thread(faulty_server.count, name)
    assert asked == 5 or (fault == "closed" and asked == 6)


async def test_many_reads_at_once(faulty_server, fault, name) -> None:
    store = await opened(faulty_server, fault, 20, name)
    spans = [slice(at, at + 100) for at in range(0, 40_000, 2000)]
    reads = [store.read("value", byte_range=span, if_not_equal=b"\0%d" % k)
             for k, span in enumerate(spans)]  # fmt: skip
    found = await asyncio.gather(*reads)
    assert [each.value for each in found] == [VALUE[span] for span in spans]


async def test_who_is_to_wait_waits_also_without_a_task() -> None:
    """The first request of a read, which no task makes, is not repeated too soon."""
    moments: list[float] = []
    wait = "1"

    def script(asked: Asked) -> Said:
        moments.append(time.monotonic())
        if len(moments) == 1:
            return Said(503, (("Retry-After", wait),))
        return Said(200, (("ETag", '"1"'),), b"value")

    with ScriptedServer(script) as server:
        context = ts.Context({"http_request_retries": RETRIES})
        store = await ts.KvStore.open(f"{server.url}/", context=context)
        assert (await store.read("k")).value == b"value"
        first, second = moments
        assert second - first >= 1
        # Who leaves meanwhile leaves nothing.
        moments.clear()
        wait = "100"
        reading = asyncio.ensure_future(store.read("k"))
        while not moments:  # noqa: ASYNC110 -- the server is another thread
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert shared_gate().statistics().waiting == 0
