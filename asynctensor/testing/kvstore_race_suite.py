"""`KeyValueStoreRaceSuite`: what a store promises when many use it at once, or give up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.kvstore_calls import entries, fill, keys, read, write


@pytest.mark.asyncio
class KeyValueStoreRaceSuite:
    """The part of `KeyValueStoreSuite` on races and cancellation; it is used through that."""

    #: How many race for one key, and how often each tries.
    racers: ClassVar[int] = 8
    rounds: ClassVar[int] = 5

    # -- Races --------------------------------------------------------------------------------

    async def test_one_of_many_creators_wins(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_create_if_absent:
            return
        for round_ in range(self.rounds):
            key = f"race/{round_}"
            values = [b"%d" % racer for racer in range(self.racers)]
            stamps = await asyncio.gather(*(write(store, key, value, NO_VALUE) for value in values))
            won = [i for i, stamp in enumerate(stamps) if stamp.generation != UNKNOWN]
            assert len(won) == 1
            found = await read(store, key)
            assert found.value == values[won[0]]
            assert found.stamp.generation == stamps[won[0]].generation

    async def test_no_increment_is_lost(self, store: KeyValueStore) -> None:
        if not store.capabilities.can_compare_and_swap:
            return

        async def increment() -> None:
            while True:
                found = await read(store, "n")
                value = b"%d" % (int(found.value or b"0") + 1)
                stamp = await write(store, "n", value, found.stamp.generation)
                if stamp.generation != UNKNOWN:
                    return

        async def racer() -> None:
            for _ in range(self.rounds):
                await increment()

        await asyncio.gather(*(racer() for _ in range(self.racers)))
        assert (await read(store, "n")).value == b"%d" % (self.racers * self.rounds)

    async def test_unconditional_writes_do_not_slip_into_conditional_ones(
        self, store: KeyValueStore
    ) -> None:
        """After an unconditional write, a conditional one on what was before must fail."""
        if not store.capabilities.can_compare_and_swap:
            return
        for round_ in range(self.rounds):
            before = (await write(store, "k", b"before")).generation
            swapped, stamp = await asyncio.gather(
                write(store, "k", b"swapped", before), write(store, "k", b"plain")
            )
            found = await read(store, "k")
            # Either the swap came first and was overwritten, or it came second and failed.
            assert found.value == b"plain", round_
            assert found.stamp.generation == stamp.generation
            assert swapped.generation != stamp.generation

    async def test_readers_see_whole_values(self, store: KeyValueStore) -> None:
        values = [bytes([i]) * 200_000 for i in range(4)]
        await write(store, "k", values[0])
        done = False

        async def reader() -> None:
            while not done:
                value = (await read(store, "k")).value
                assert value in values

        async def writer() -> None:
            for _ in range(self.rounds):
                for value in values:
                    await write(store, "k", value)

        readers = [asyncio.ensure_future(reader()) for _ in range(2)]
        try:
            await writer()
        finally:
            done = True
        await asyncio.gather(*readers)

    async def test_many_threads(self, store: KeyValueStore) -> None:
        def work(thread: int) -> list[bytes]:
            found = []
            for i in range(self.rounds):
                key = f"t{thread}/{i}"
                start(store.write, key, key.encode()).result()
                found.append(start(store.read, key).result().value)
            return found

        results = await asyncio.gather(*(asyncio.to_thread(work, i) for i in range(4)))
        for thread, found in enumerate(results):
            assert found == [b"t%d/%d" % (thread, i) for i in range(self.rounds)]

    # -- Cancellation -------------------------------------------------------------------------

    async def test_cancelled_write_happens_wholly_or_never(self, store: KeyValueStore) -> None:
        before, after = b"before" * 1000, b"after!" * 1000
        for round_ in range(self.rounds * 2):
            key = f"k{round_}"
            await write(store, key, before)
            task = asyncio.ensure_future(write(store, key, after))
            for _ in range(round_ % 4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            found = await read(store, key)
            assert found.value in (before, after)
            # Nothing comes later: a condition on what was found still holds.
            again = await read(store, key, ReadOptions(if_equal=found.stamp.generation))
            assert again.value == found.value
        assert len(await keys(store)) == self.rounds * 2

    async def test_cancelled_calls_leave_the_store_usable(self, store: KeyValueStore) -> None:
        await fill(store, [f"k/{i}" for i in range(30)])
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: read(store, "k/1"),
            lambda: entries(store),
            lambda: start(store.delete_range, KeyRange.prefix("k/2")),
        ]
        for call in calls:
            for turns in range(4):
                task = asyncio.ensure_future(call())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
        left = await keys(store)
        assert [f"k/{i}" for i in range(30) if str(i)[0] != "2"] == sorted(
            (key for key in left if not key.startswith("k/2")), key=lambda key: int(key[2:])
        )
