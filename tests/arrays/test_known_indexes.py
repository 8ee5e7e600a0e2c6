"""Reading shards that are not local by indexes that the cache has, which may be outdated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import Error, OutOfRange, Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.kvstore import Arrival, KeyValueStore, ReadOptions, ReadResult, Told
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

#: A shard has 16 x 16 inner chunks, and is no value that is fetched whole for a few of them.
EDGE, SHARD, INNER = 128, 64, 4
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def sharding(chunk: list[int], codec: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": chunk, "codecs": [codec], "index_codecs": [BYTES]},
    }


PLAIN = sharding([INNER, INNER], BYTES)
NESTED = sharding([16, 16], PLAIN)


class Begins(FaultyStore):
    """Begins reads without a task, as stores over a network do."""

    def __init__(self, base: MemoryStore) -> None:
        super().__init__(base)
        self.begun = 0

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object]:
        def answered(reading: asyncio.Task[ReadResult]) -> None:
            if reading.cancelled():
                return
            error = reading.exception()
            if error is not None:
                # Whoever is to find out why asks for it once more.
                told(error if isinstance(error, Unavailable) else None)
                return
            found = reading.result()
            told(Arrival(found.state, found.value, found.stamp))

        self.begun += 1
        reading = asyncio.get_running_loop().create_task(self.read(key, options))
        reading.add_done_callback(answered)

        def give_up() -> None:
            reading.remove_done_callback(answered)
            reading.cancel()

        return give_up


@pytest.fixture(params=[FaultyStore, Begins])
def far(request: pytest.FixtureRequest) -> FaultyStore:
    made: FaultyStore = request.param(MemoryStore())
    return made


async def opened(
    store: KeyValueStore, codec: dict[str, Any] = PLAIN, **members: Any
) -> ts.TensorStore:
    metadata = {
        "shape": [EDGE, EDGE],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SHARD, SHARD]}},
        "codecs": [codec],
    }
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    made: ts.TensorStore = await open_over(
        store, "a/", metadata=metadata, context=context, **members
    )
    return made


def values(seed: int = 0) -> np.ndarray[Any, Any]:
    return np.arange(EDGE * EDGE, dtype="uint16").reshape(EDGE, EDGE) + np.uint16(seed)


@pytest.mark.parametrize("recheck", [True, False])
@pytest.mark.parametrize("codec", [PLAIN, NESTED], ids=["plain", "nested"])
async def test_the_second_read_of_a_shard_asks_for_no_index(
    far: FaultyStore, codec: dict[str, Any], recheck: bool
) -> None:
    await (await opened(far.base, codec)).write(values())
    store = await opened(far, codec, recheck_data=recheck)
    assert (await store[3:7, 5:6].read() == values()[3:7, 5:6]).all()
    far.requests.clear()
    assert (await store[9:13, 14:15].read() == values()[9:13, 14:15]).all()
    # Two inner chunks near each other, and nothing else.
    assert len(far.requests) == 1
    assert not isinstance(far, Begins) or far.begun == 1
    # Of the other shard below nothing is known.
    assert (await store[70, 5:9].read() == values()[70, 5:9]).all()
    assert len(far.requests) > 2


async def test_many_inner_chunks_at_once(far: FaultyStore) -> None:
    await (await opened(far.base)).write(values())
    store = await opened(far)
    await store[0, 0].read()
    far.requests.clear()
    # More of them than are looked for on the I/O loop, and less than half of the shard.
    view = np.s_[:24, :60]
    assert (await store[view].read() == values()[view]).all()
    assert (await store[60:68, 60:68].read() == values()[60:68, 60:68]).all()


@pytest.mark.parametrize("codec", [PLAIN, NESTED], ids=["plain", "nested"])
@pytest.mark.parametrize("change", ["other", "shorter", "gone", "empty"])
async def test_an_outdated_index_is_found_out(
    far: FaultyStore, codec: dict[str, Any], change: str
) -> None:
    elsewhere = await opened(far.base, codec)
    await elsewhere.write(values())
    store = await opened(far, codec)
    await store[0, 0].read()
    expected = values()
    if change == "gone":
        await far.base.write("a/c/0/0", None)
        expected[:SHARD, :SHARD] = 0
    else:
        # All but one inner chunk are empty, so that others lie elsewhere, or beyond the end.
        if change != "other":
            expected[:SHARD, :SHARD] = 0
            expected[60, 60] = 9 if change == "shorter" else 0
        expected[20, 20] = 7 if change == "other" else expected[20, 20]
        await elsewhere[:SHARD, :SHARD].write(expected[:SHARD, :SHARD])
    for view in (np.s_[20:21, 20:30], np.s_[60, 58:64], np.s_[0, 0], np.s_[20, 20]):
        assert (await store[view].read() == expected[view]).all()


async def test_ranges_that_are_looked_at_before_conditions(far: FaultyStore) -> None:
    elsewhere = await opened(far.base)
    await elsewhere.write(values())
    store = await opened(far)
    await store[0, 0].read()
    await elsewhere[:SHARD, :SHARD].write(0)
    await elsewhere[1, 1].write(5)
    # As of a server for which a range beyond the end is wrong, whatever the condition.
    times = 2 if isinstance(far, Begins) else 1
    far.fail("read", OutOfRange("beyond the end"), when=lambda key: "c/0/0" in key, times=times)
    assert (await store[60, 56:].read() == [0] * 8 + values()[60, 64:].tolist()).all()


async def test_errors_are_told_and_nothing_is_left(far: FaultyStore) -> None:
    await (await opened(far.base)).write(values())
    store = await opened(far)
    await store[0, 0].read()
    far.fail("read", Unavailable("no way"), when=lambda key: "c/0/0" in key)
    with pytest.raises(Error, match="no way"):
        await store[9:17, 14].read()
    assert not far.in_flight
    assert (await store[9:17, 14].read() == values()[9:17, 14]).all()


async def test_who_leaves_takes_the_requests_with_them(far: FaultyStore) -> None:
    await (await opened(far.base)).write(values())
    store = await opened(far)
    await store[::SHARD, 0].read()
    gate = far.hold("read")
    reads = [asyncio.ensure_future(store[k, 14:22].read()) for k in (9, 100)]
    await gate.reached(2)
    reads[0].cancel()
    await asyncio.wait(reads[:1])
    assert reads[0].cancelled()
    # The other goes on.
    gate.open()
    assert (await reads[1] == values()[100, 14:22]).all()
    assert sorted([request.state for request in far.requests[-2:]]) == ["cancelled", "done"]


async def test_own_writes_are_seen(far: FaultyStore) -> None:
    store = await opened(far, recheck_data=False)
    expected = values()
    await store.write(expected)
    for k in range(0, 40, 3):
        assert (await store[k, 5:20].read() == expected[k, 5:20]).all()
        expected[k + 1, 7:12] = k
        await store[k + 1, 7:12].write(k)
        assert (await store[k : k + 3, 5:20].read() == expected[k : k + 3, 5:20]).all()
