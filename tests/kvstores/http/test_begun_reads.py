"""Reads that are begun without a task: what they bring, and what they leave to others."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import DataLoss, OutOfRange, Unavailable
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.gate import shared_gate
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.kvstore import Arrival, KeyValueStore, ReadOptions
from asynctensor.testing.network_faults import Alter, Reply, Reset, Stall
from tests.kvstores.begun import BegunHttpStore
from tests.kvstores.http.waiting import until
from tests.servers.scripted import Asked, Said, ScriptedServer

EXCHANGE = Exchange(RetryPolicy(5, 0.001, 0.002))
DATA = np.arange(40 * 64, dtype=np.uint32).reshape(40, 64)


async def on_loop(work: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await work()

    return await start(run)


def begin(store: KeyValueStore, key: str) -> tuple[Any, list[Arrival | None]]:
    told: list[Arrival | None] = []
    return store.begin_read(key, ReadOptions(), told.append), told


async def test_reads_are_begun_and_arrive(caddy) -> None:
    (caddy.folder / "k").write_bytes(b"value")
    store = BegunHttpStore(Address(caddy.url.rstrip("/")))
    assert (await start(store.read, "k")).value == b"value"
    assert (await start(store.read, "none")).state == "missing"
    assert (store.begun, store.arrived) == (2, 2)


async def test_what_is_given_up_is_told_nobody_and_gives_its_place_back(
    caddy, fault_proxy_to
) -> None:
    (caddy.folder / "k").write_bytes(b"value" * 10_000)
    proxy = fault_proxy_to(caddy.host, caddy.port)
    store = HttpStore(Address(proxy.url), EXCHANGE)

    async def run() -> None:
        before = shared_gate().statistics()
        for turns in range(12):
            proxy.plan(Stall(after=100 * turns))
            give_up, told = begin(store, "k")
            for _ in range(turns):
                await asyncio.sleep(0)
            give_up()
            proxy.forget()
            give_up, second = begin(store, "k")
            await until(lambda: second)  # noqa: B023
            assert told == []
        assert shared_gate().statistics() == before

    await on_loop(run)


async def test_those_that_wait_for_a_turn_get_it_or_leave(caddy) -> None:
    (caddy.folder / "k").write_bytes(b"value")
    store = HttpStore(Address(caddy.url.rstrip("/")), Exchange(concurrency=1))

    async def run() -> None:
        before = shared_gate().statistics()
        begun = [begin(store, "k") for _ in range(5)]
        assert shared_gate().statistics().waiting == before.waiting + 4
        for give_up, _ in begun[1:3]:
            give_up()
        await until(lambda: all(told for _, told in (begun[0], *begun[3:])))
        assert [len(told) for _, told in begun] == [1, 0, 0, 1, 1]
        assert shared_gate().statistics() == before

    await on_loop(run)


async def test_reads_share_with_one_that_is_begun(caddy, fault_proxy_to) -> None:
    (caddy.folder / "k").write_bytes(b"value")
    proxy = fault_proxy_to(caddy.host, caddy.port)
    # So long that no answer is there within two turns of the loop.
    proxy.latency = 0.05
    store = ScheduledStore(HttpStore(Address(proxy.url)))

    async def run() -> None:
        give_up, told = begin(store, "k")
        reading = asyncio.ensure_future(store.read("k", ReadOptions(staleness_bound=0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        give_up()
        assert (await reading).value == b"value"
        assert told == []
        assert store.statistics().requests == 1
        # Nobody else waits for this one.
        give_up, told = begin(store, "k")
        give_up()
        assert (await store.read("k")).value == b"value"
        # A second one must be newer than one that is under way.
        begin(store, "k")
        assert begin(store, "k")[0] is None

    await on_loop(run)


async def test_whole_reads_of_one_turn_are_one_request(caddy) -> None:
    """Also without tasks; of other keys and on other conditions there are others."""
    (caddy.folder / "k").write_bytes(b"value" * 20_000)
    (caddy.folder / "l").write_bytes(b"other")
    store = await ts.KvStore.open(caddy.url)
    stamp = (await store.read("k")).stamp
    before = store.statistics()
    reads = [store.read("k") for _ in range(5)]
    reads += [store.read("l"), store.read("k", if_not_equal=stamp.generation)]
    found = await asyncio.gather(*reads)
    assert [each.value for each in found] == [b"value" * 20_000] * 5 + [b"other", b""]
    assert {id(each.value) for each in found[:5]} == {id(found[0].value)}
    made = store.statistics()
    assert (made.reads - before.reads, made.requests - before.requests) == (7, 3)
    assert made.shared - before.shared == 4
    # One of them leaves, and takes nothing from the other.
    one, two = asyncio.ensure_future(store.read("k")), asyncio.ensure_future(store.read("k"))
    await asyncio.sleep(0)
    one.cancel()
    assert (await two).value == b"value" * 20_000


async def test_what_is_asked_for_later_is_a_request_of_its_own() -> None:
    """It must be as of now: what is on its way may be older than what its reader has written."""
    came, go_on = threading.Event(), threading.Event()
    value = b"old"

    def script(asked: Asked) -> Said:
        said = Said(200, (("ETag", f'"{value.decode()}"'),), value)
        if came.is_set():
            go_on.set()
        else:
            came.set()
            assert go_on.wait(60)
        return said

    with ScriptedServer(script) as server:
        store = await ts.KvStore.open(f"{server.url}/")
        first = store.read("k")
        first.force()
        assert await asyncio.to_thread(came.wait, 60)
        value = b"new"
        second = store.read("k")
        assert [(await each).value for each in (first, second)] == [b"old", b"new"]
        assert len(server.asked) == 2


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_garbled_answers_cost_as_many_requests_as_there_are_attempts(
    caddy, fault_proxy_to, begins, retries
) -> None:
    (caddy.folder / "k").write_bytes(b"value")
    proxy = fault_proxy_to(caddy.host, caddy.port)
    store = HttpStore(Address(proxy.url), Exchange(RetryPolicy(retries, 0.001, 0.002)))
    proxy.plan(*[Alter(change=lambda head: b"?" + head)] * 12)

    async def begun() -> Any:
        give_up, told = begin(store, "k")
        assert give_up is not None
        await until(lambda: told)
        return told[0]

    if begins:
        error = await on_loop(begun)
    else:
        with pytest.raises(Unavailable) as raised:
            await start(store.read, "k")
        error = raised.value
    assert isinstance(error, Unavailable)
    # The narrow reader asks once, and the patient one as often as it may, and once in any case.
    requests = max(2, retries + 1)
    assert f"({requests} attempts)" in str(error)
    assert len(proxy.statistics.requests) == requests


async def test_reads_of_a_key_value_store_take_no_tasks(caddy, monkeypatch) -> None:
    (caddy.folder / "k").write_bytes(b"0123456789")
    store = await ts.KvStore.open(caddy.url)
    await store.read("k")
    tasks = 0

    async def refused(*_: object) -> None:
        nonlocal tasks
        tasks += 1
        raise DataLoss("by a task")

    with monkeypatch.context() as patch:
        patch.setattr(ts.KvStore, "_read", refused)
        reads = [store.read("k", byte_range=slice(at, at + 2)) for at in (0, 3, 8)]
        assert [(await read).value for read in reads] == [b"01", b"34", b"89"]
        assert (await store.read("none")).state == "missing"
        assert tasks == 0
    # What is wrong is found out by a task.
    with pytest.raises(OutOfRange, match="k"):
        await store.read("k", byte_range=slice(5, 11))
    assert (await store.read("k", byte_range=slice(-3, None))).value == b"789"
    assert (await store.read("k", byte_range=slice(0, 3), timeout=60)).value == b"012"


async def written(folder: Any, **codec: Any) -> Any:
    array = await ts.open(
        f"file://{folder}/a/|zarr3:", create=True, dtype="uint32", shape=DATA.shape,
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[4, 4]), **codec,
    )  # fmt: skip
    await array.write(DATA)
    return array


@pytest.fixture
async def array(caddy, fault_proxy_to) -> Any:
    await written(
        caddy.folder, codec=ts.CodecSpec({"driver": "zarr3", "codecs": [{"name": "gzip"}]})
    )
    proxy = fault_proxy_to(caddy.host, caddy.port)
    return caddy.folder / "a", proxy, await ts.open(f"{proxy.url}/a/|zarr3:")


async def test_tiles_with_missing_and_damaged_chunks(array) -> None:
    folder, _, read = array
    assert np.array_equal(await read.read(), DATA)
    (folder / "c/3/5").unlink()
    wanted = DATA.copy()
    wanted[12:16, 20:24] = 0
    assert np.array_equal(await read.read(), wanted)
    (folder / "c/7/9").write_bytes(b"no gzip")
    with pytest.raises(DataLoss, match="c/7/9"):
        await read.read()
    assert np.array_equal(await read[:28].read(), wanted[:28])


async def test_tiles_survive_a_bad_network(array) -> None:
    _, proxy, read = array
    for fault in (
        Reset(after=0),
        Reset(after=150),
        Reply(status=503),
        Reply(status=429),
        Reply(status=500),
    ):
        proxy.plan(*[fault] * 8)
        assert np.array_equal(await read.read(), DATA)
        proxy.forget()


async def test_a_cancelled_read_of_tiles_leaves_nothing(array) -> None:
    _, proxy, read = array
    before = shared_gate().statistics()
    for count in range(0, 60, 7):
        proxy.plan(*[Stall(after=0)] * 50)
        reading = asyncio.ensure_future(read.read())
        for _ in range(count):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        proxy.forget()
    assert shared_gate().statistics() == before
    assert np.array_equal(await read.read(), DATA)


async def test_nothing_holds_an_output_after_its_read(array) -> None:
    _, _, read = array
    gc.collect()
    gc.disable()
    try:
        found = await read.read()
        watched = [found]
        await until(lambda: len(gc.get_referrers(found)) <= 2)
        assert watched
    finally:
        gc.enable()
