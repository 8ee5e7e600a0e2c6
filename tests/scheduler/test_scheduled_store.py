"""A scheduled store keeps the contract, and makes few requests."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from typing import Any

import pytest

from asynctensor.errors import OutOfRange, Unavailable
from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler import read_queue
from asynctensor.scheduler.flow import FLOW
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.read_queue import ReadQueue
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.kvstore import Arrival, KeyValueStore, ReadOptions, ReadResult, Told
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.kvstore_calls import write
from asynctensor.testing.kvstore_race_suite import KeyValueStoreRaceSuite
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

VALUE = os.urandom(100_000)


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> KeyValueStore:
        return ScheduledStore(MemoryStore())


class TestRaces(KeyValueStoreRaceSuite):
    @pytest.fixture
    def store(self) -> KeyValueStore:
        return ScheduledStore(FaultyStore(MemoryStore()))


@pytest.fixture
def far() -> FaultyStore:
    return FaultyStore(MemoryStore(MemoryMap()))


@pytest.fixture
async def store(far: FaultyStore) -> ScheduledStore:
    await write(far, "k", VALUE)
    far.requests.clear()
    return ScheduledStore(far)


def part(start_: int, stop: int | None = None, **options: Any) -> ReadOptions:
    return ReadOptions(ByteRange(start_, stop), **options)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def together(store: KeyValueStore, *reads: tuple[str, ReadOptions]) -> list[Any]:
    async def gathered() -> list[Any]:
        return await asyncio.gather(
            *(store.read(key, options) for key, options in reads), return_exceptions=True
        )

    return await start(gathered)


async def test_reads_of_one_turn_are_merged(store: ScheduledStore, far: FaultyStore) -> None:
    spans = [(0, 40_000), (20_000, 45_000), (50_000, 60_000), (99_000, 100_000), (50_000, 60_000)]
    found = await together(store, *(("k", part(*span)) for span in spans))
    assert [r.value for r in found] == [VALUE[a:b] for a, b in spans]
    assert far.count("read") == 1
    assert store.statistics().requests == 1
    assert store.statistics().bytes_fetched == 100_000


async def test_other_keys_and_conditions_are_not_merged(
    store: ScheduledStore, far: FaultyStore
) -> None:
    stamp = await write(far, "l", b"other")
    far.requests.clear()
    found = await together(
        store,
        ("k", part(0, 10)),
        ("l", part(0, 3)),
        ("l", part(0, 3, if_equal=stamp.generation)),
        ("l", part(0, 3, if_not_equal=stamp.generation)),
    )
    assert [r.state for r in found] == ["value", "value", "value", "unspecified"]
    assert far.count("read") == 4


async def test_what_is_alike_in_one_turn_is_asked_for_once(
    store: ScheduledStore, far: FaultyStore
) -> None:
    found = await together(store, *[("k", ReadOptions())] * 5, *[("k", part(-10))] * 5)
    assert [r.value for r in found] == [VALUE] * 5 + [VALUE[-10:]] * 5
    assert far.count("read") == 2


async def test_a_range_beyond_the_end_harms_nobody_else(
    store: ScheduledStore, far: FaultyStore
) -> None:
    good, bad = await together(store, ("k", part(99_990, 100_000)), ("k", part(99_995, 100_010)))
    assert good.value == VALUE[-10:]
    assert isinstance(bad, OutOfRange)
    (alone,) = await together(store, ("k", part(0, 100_001)))
    assert isinstance(alone, OutOfRange)


async def test_an_error_reaches_all_and_is_not_kept(
    store: ScheduledStore, far: FaultyStore
) -> None:
    far.fail("read", Unavailable("boom"))
    found = await together(store, ("k", part(0, 10)), ("k", part(20, 30)))
    assert all(isinstance(error, Unavailable) for error in found)
    (again,) = await together(store, ("k", part(0, 10)))
    assert again.value == VALUE[:10]


async def test_bytes_on_their_way_are_shared_if_they_are_new_enough(
    store: ScheduledStore, far: FaultyStore
) -> None:
    gate = far.hold("read")
    one = start(store.read, "k", part(0, 10))
    await gate.reached(1)
    # What is asked for now must be as of now; what may be older need not be asked for again.
    fresh = start(store.read, "k", part(0, 10))
    await gate.reached(2)
    stale = start(store.read, "k", part(0, 10, staleness_bound=0.0))
    await start(turns)
    gate.open()
    assert [(await r).value for r in (one, fresh, stale)] == [VALUE[:10]] * 3
    assert far.count("read") == 2
    assert store.statistics().shared == 1


async def test_a_reader_that_leaves_takes_nothing_from_others(
    store: ScheduledStore, far: FaultyStore
) -> None:
    gate = far.hold("read")

    async def pair() -> tuple[asyncio.Task[ReadResult], asyncio.Task[ReadResult]]:
        return (
            asyncio.ensure_future(store.read("k", part(0, 10))),
            asyncio.ensure_future(store.read("k", part(5, 20))),
        )

    async def leave(task: asyncio.Task[ReadResult]) -> None:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    one, two = await start(pair)
    await gate.reached(1)
    await start(leave, one)
    assert len(far.in_flight) == 1
    gate.open()

    async def value(task: asyncio.Task[ReadResult]) -> bytes:
        return (await task).value

    assert await start(value, two) == VALUE[5:20]


async def test_a_request_that_nobody_wants_has_ended_when_that_is_told(
    store: ScheduledStore, far: FaultyStore
) -> None:
    gate = far.hold("read", stubborn=True)
    reading = start(store.read, "k", part(0, 10))
    await gate.reached(1)
    reading.cancel()
    await start(turns)
    assert not reading.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert far.in_flight == []
    # And nobody later is given what was cancelled.
    assert (await start(store.read, "k", part(0, 10, staleness_bound=0.0))).value == VALUE[:10]


async def test_cancelled_before_the_turn_ends(store: ScheduledStore, far: FaultyStore) -> None:
    async def at_once() -> None:
        task = asyncio.ensure_future(store.read("k"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    await start(at_once)
    assert far.count("read") == 0


async def test_parts_of_one_read_are_of_one_version(
    monkeypatch: pytest.MonkeyPatch, far: FaultyStore
) -> None:
    monkeypatch.setattr(read_queue, "CAP", 1000)
    await write(far, "k", b"a" * 3000)
    store = ScheduledStore(far)
    gate = far.hold("read")
    reading = start(store.read, "k", part(0, 3000))
    await gate.reached(3)

    # Between its parts, the value is replaced.
    calls = 0
    original = far.base.read

    async def replaced(key: str, options: ReadOptions) -> ReadResult:
        nonlocal calls
        calls += 1
        if calls == 2:
            await far.base.write("k", b"b" * 3000)
        return await original(key, options)

    monkeypatch.setattr(far.base, "read", replaced)
    gate.open()
    assert (await reading).value in (b"a" * 3000, b"b" * 3000)


async def test_late_requests_are_made_again(store: ScheduledStore, far: FaultyStore) -> None:
    hedging = Hedging()
    for _ in range(200):
        hedging.observe(0.001, 10)
    queue = ReadQueue(far.read, hedging)
    gate = far.hold("read", when=lambda key: far.count("read") == 1)
    found = await start(queue.read, "k", part(0, 10))
    assert found.value == VALUE[:10]
    assert queue.statistics().hedges == 1
    assert far.in_flight == []
    gate.open()


async def test_what_is_over_is_let_go_of_at_once() -> None:
    value = bytes(100)
    tasks: list[weakref.ref[Any]] = []

    async def fetch(key: str, options: ReadOptions) -> ReadResult:
        tasks.append(weakref.ref(asyncio.current_task()))
        await asyncio.sleep(0)
        start_, stop = options.byte_range.resolve(len(value))
        stamp = TimestampedStorageGeneration(b"g", 1.0)
        return ReadResult("value", value[start_:stop], stamp)

    queue = ReadQueue(fetch)
    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(*(queue.read("k", part(k, k + 10)) for k in range(5)))
        await queue.read("k", ReadOptions())
        await turns()
        assert len(tasks) == 2
        # Not only when the collector comes: values may be large.
        assert [task() for task in tasks] == [None, None]
    finally:
        gc.enable()


class Begins(FaultyStore):
    """Begins reads without a task, and answers them when it is told to.

    Attributes:
        begun: Reads that wait for an answer: key, options, whom to tell, and the flow.
        given_up: Those that were given up.
        refuses: Which keys are for `read`.
    """

    def __init__(self) -> None:
        super().__init__(MemoryStore(MemoryMap()))
        self.begun: list[tuple[str, ReadOptions, Told, Any]] = []
        self.given_up: list[ReadOptions] = []
        self.refuses = ""

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Any:
        if key == self.refuses:
            return None
        entry = (key, options, told, FLOW.get())
        self.begun.append(entry)

        def give_up() -> None:
            self.begun.remove(entry)
            self.given_up.append(options)

        return give_up

    async def answer(self) -> None:
        while self.begun:
            key, options, told, _ = self.begun.pop(0)
            found = await self.base.read(key, options)
            told(Arrival(found.state, bytearray(found.value), found.stamp))


@pytest.fixture
async def begins() -> Begins:
    store = Begins()
    await write(store.base, "k", VALUE)
    return store


async def test_begun_reads_are_merged_and_shared_like_others(begins: Begins) -> None:
    store = ScheduledStore(begins)

    async def run() -> None:
        told: list[list[Any]] = [[], [], []]
        spans = [(10, 20), (15, 40), (99_000, 100_000)]
        reading = asyncio.ensure_future(store.read("k", part(12, 30)))
        for each, span in zip(told, spans, strict=True):
            assert store.begin_read("k", part(*span), each.append) is not None
        await turns()
        assert [options.byte_range for _, options, _, _ in begins.begun] == [
            ByteRange(10, 40), ByteRange(99_000, 100_000)
        ]  # fmt: skip
        await begins.answer()
        assert [bytes(each[0].value) for each in told] == [VALUE[a:b] for a, b in spans]
        # Of the one body that came, which nobody copied, and nobody can write into; but for a
        # task, which may keep its part for long.
        assert told[0][0].value.obj is told[1][0].value.obj
        assert type(told[0][0].value.obj) is bytearray
        assert told[0][0].value.readonly
        assert (await reading).value == VALUE[12:30]
        assert type((await reading).value) is bytes

    await start(run)
    assert begins.count("read") == 0
    assert store.statistics().requests == 2
    assert store.statistics().bytes_asked == 10 + 25 + 1000 + 18


async def test_begun_reads_that_take_a_task_are_sent_back(begins: Begins) -> None:
    store = ScheduledStore(begins)

    async def run() -> None:
        told: list[Any] = []
        # The store takes no such key; or finds that something is wrong.
        begins.refuses = "k"
        store.begin_read("k", part(0, 10), told.append)
        await turns()
        assert told == [None]
        begins.refuses = ""
        reading = asyncio.ensure_future(store.read("k", part(0, 10)))
        store.begin_read("k", part(0, 10), told.append)
        await turns()
        ((_, _, tell, _),) = begins.begun
        begins.begun.clear()
        tell(None)
        assert told == [None, None]
        # Whoever is a task is served by one; whoever is none does not wait for that.
        assert (await reading).value == VALUE[:10]
        assert begins.count("read") == 1

    await start(run)


async def test_a_begun_read_does_not_wait_for_a_request_by_a_task(begins: Begins) -> None:
    store = ScheduledStore(begins)

    async def run() -> None:
        gate = begins.hold("read")
        begins.refuses = "k"
        reading = asyncio.ensure_future(store.read("k", part(0, 10)))
        await gate.reached(1)
        begins.refuses = ""
        told: list[Any] = []
        store.begin_read("k", part(0, 10, staleness_bound=0.0), told.append)
        await turns()
        await begins.answer()
        assert told[0].value == VALUE[:10]
        gate.open()
        assert (await reading).value == VALUE[:10]

    await start(run)


async def test_begun_reads_that_are_given_up_leave_nothing(begins: Begins) -> None:
    store = ScheduledStore(begins)

    async def run() -> None:
        told: list[Any] = []
        before = store.begin_read("k", part(0, 10), told.append)
        assert before is not None
        before()
        await turns()
        assert begins.begun == []
        one = store.begin_read("k", part(0, 10), told.append)
        two = store.begin_read("k", part(5, 20), told.append)
        await turns()
        assert one is not None
        assert two is not None
        one()
        assert begins.given_up == []
        two()
        assert [options.byte_range for options in begins.given_up] == [ByteRange(0, 20)]
        two()
        assert told == []
        assert store.statistics().under_way == 0

    await start(run)


async def test_begun_parts_of_two_versions_are_asked_for_alone(
    monkeypatch: pytest.MonkeyPatch, begins: Begins
) -> None:
    monkeypatch.setattr(read_queue, "CAP", 60_000)
    store = ScheduledStore(begins)

    async def run() -> None:
        told: list[Any] = []
        store.begin_read("k", part(0, 100_000), told.append)
        await turns()
        assert len(begins.begun) == 2
        last = begins.begun.pop()
        await begins.answer()
        await begins.base.write("k", VALUE[::-1])
        begins.begun.append(last)
        await begins.answer()
        assert told[0].value == VALUE[::-1]
        # A range that is too long is for whoever finds out why.
        store.begin_read("k", part(0, 100_001), told.append)
        await turns()
        begins.begun.pop()[2](None)
        assert told[1:] == [None]
        assert begins.begun == []

    await start(run)


async def test_each_operation_asks_on_its_own_behalf(begins: Begins) -> None:
    await write(begins.base, "l", VALUE)
    store = ScheduledStore(begins)

    async def read(flow: str, key: str) -> None:
        FLOW.set(flow)
        await store.read(key, part(0, 10))

    async def run() -> None:
        reads = [asyncio.ensure_future(read(f"{k}'s", k)) for k in "kl"]
        await turns()
        # Both were asked for in one turn.
        assert [(key, flow) for key, _, _, flow in begins.begun] == [("k", "k's"), ("l", "l's")]
        await begins.answer()
        await asyncio.gather(*reads)

    await start(run)


async def test_equal_stores_share_a_queue(far: FaultyStore) -> None:
    one, two = ScheduledStore(far), ScheduledStore(far)
    other = ScheduledStore(FaultyStore(MemoryStore(MemoryMap())))
    await together(one, ("k", part(0, 0)))
    assert one.statistics().reads == two.statistics().reads == 1
    assert other.statistics().reads == 0


def test_a_queue_outlives_the_loop_that_it_was_used_on() -> None:
    store = MemoryStore(MemoryMap())
    hangs = True

    async def fetch(key: str, options: ReadOptions) -> ReadResult:
        if hangs:
            await asyncio.get_running_loop().create_future()
        return await store.read(key, options)

    queue = ReadQueue(fetch)
    options = part(0, 10, staleness_bound=0.0)

    async def left_behind() -> None:
        await store.write("k", VALUE)
        tasks = [asyncio.ensure_future(queue.read("k", options))]
        await turns()
        # And one whose turn never ends.
        tasks.append(asyncio.ensure_future(queue.read("k", options)))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(left_behind())
    hangs = False
    reading = asyncio.wait_for(queue.read("k", options), 60)
    assert asyncio.run(_value(reading)) == VALUE[:10]
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


async def _value(reading: Any) -> bytes:
    found: bytes = (await reading).value
    return found
