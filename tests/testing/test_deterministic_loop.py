"""The same seed gives the same run; other seeds give others; nothing waits for real time."""

# ruff: noqa: ASYNC110 -- what waits in a busy loop is what is tried
from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime import event_loop
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes, random_hex, uniform
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.testing.deterministic_loop import (
    Deadlock,
    DeterministicLoop,
    Livelock,
    SimulationError,
    simulate,
)
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


async def race() -> str:
    order = ""

    async def run(name: str) -> None:
        nonlocal order
        for _ in range(3):
            order += name
            await asyncio.sleep(0)

    await asyncio.gather(*(run(name) for name in "abc"))
    return order


def test_a_seed_gives_the_same_order_every_time_and_others_give_others() -> None:
    orders = [simulate(race, seed) for seed in range(40)]
    assert orders == [simulate(race, seed) for seed in range(40)]
    assert len(set(orders)) > 20


def test_every_order_is_found() -> None:
    async def first() -> str:
        return (await race())[:3]

    # Evenly and by priority: one task alone, and all others, may come first.
    assert len({simulate(first, seed) for seed in range(400)}) == 27


def test_callbacks_keep_the_order_that_asyncio_promises() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(20):
            loop.call_soon(seen.append, number)
        while len(seen) < 20:
            await asyncio.sleep(0)
        return seen

    for seed in range(20):
        assert simulate(main, seed) == list(range(20))


def test_waiting_takes_no_time() -> None:
    async def main() -> tuple[float, float]:
        began, monotonic = SYSTEM_CLOCK.time(), SYSTEM_CLOCK.monotonic()
        await asyncio.sleep(86_400)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return SYSTEM_CLOCK.time() - began, SYSTEM_CLOCK.monotonic() - monotonic

    assert simulate(main, 1) == pytest.approx((90_000, 90_000), abs=0.01)
    # And the machine's clock is back.
    assert abs(SYSTEM_CLOCK.time() - time.time()) < 5


def test_chance_is_seeded_and_real_again_afterwards() -> None:
    async def main() -> tuple[bytes, str, float, float]:
        return random_bytes(4), random_hex(4), uniform(1, 2), random.random()

    assert simulate(main, 1) == simulate(main, 1) != simulate(main, 2)
    assert random_bytes(8) != random_bytes(8)


def test_waiting_for_nothing_is_a_deadlock_that_says_who_waits() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="wait"):
        simulate(main, 1)


def test_going_on_for_ever_is_a_livelock() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="no end after 1000 steps"):
        simulate(main, 1, most_steps=1000)


def test_a_busy_wait_ends_at_its_deadline() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            while True:
                await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        simulate(main, 1)


def test_nobody_starves() -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def spin() -> None:
            while not done.is_set():
                await asyncio.sleep(0)

        async def finish() -> None:
            done.set()

        await asyncio.gather(*(spin() for _ in range(3)), finish())

    for seed in range(50):
        simulate(main, seed, most_steps=20_000)


def test_what_a_callback_raises_fails_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="division"):
        simulate(main, 1)


def test_what_is_left_over_is_cancelled() -> None:
    ended = []

    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(1)
            ended.append(True)

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(1)
        assert not task.done()

    simulate(main, 1)
    assert ended == [True]


def test_an_error_of_what_is_left_over_fails_the_run() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            raise ValueError("at the end")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        return task

    with pytest.raises(SimulationError, match="at the end"):
        simulate(main, 1)


def test_workers_and_executors_run_on_the_loop() -> None:
    here = threading.get_ident()
    pool = WorkerPool(3, "test")

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        found = [await pool.run(threading.get_ident) for _ in range(3)]
        found.append(await loop.run_in_executor(None, threading.get_ident))
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)
        return found

    assert simulate(main, 1) == [here] * 4


def test_work_of_several_tasks_interleaves() -> None:
    pool = WorkerPool(3, "test")

    async def main() -> list[int]:
        order: list[int] = []
        await asyncio.gather(*(pool.run(order.append, number) for number in range(4)))
        return order

    assert len({tuple(simulate(main, seed)) for seed in range(100)}) > 10


def test_other_threads_are_refused() -> None:
    async def main() -> None:
        refused: list[Exception] = []
        loop = asyncio.get_running_loop()

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except SimulationError as error:
                refused.append(error)

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        assert len(refused) == 1
        with pytest.raises(RuntimeError, match="one thread"):
            event_loop.start_thread(print, name="intruder")

    simulate(main, 1)


def test_what_other_threads_noted_stays_noted() -> None:
    """A thread of the runtime that is about to wake somebody still is, when a simulation begins."""
    noted, simulating = threading.Event(), threading.Event()
    found: list[object] = []

    def other() -> None:
        PROCESS.local.unwoken = mark = []
        noted.set()
        simulating.wait()
        found.append(PROCESS.local.unwoken is mark)

    async def program() -> None:
        simulating.set()
        thread.join()
        assert PROCESS.local.unwoken is None

    thread = threading.Thread(target=other)
    thread.start()
    noted.wait()
    PROCESS.local.unwoken = mine = []
    try:
        simulate(program, 1)
        assert PROCESS.local.unwoken is mine
    finally:
        PROCESS.local.unwoken = None
    assert found == [True]


def test_what_goes_on_elsewhere_rests_meanwhile() -> None:
    """It would see the simulation's time, and hand it work that is never done."""
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(SYSTEM_CLOCK.monotonic())
            await asyncio.sleep(0)

    async def program() -> int:
        before = len(ticks)
        # Long enough for any thread that can run.
        for _ in range(500_000):
            if len(ticks) > before:
                break
        return len(ticks) - before

    began = time.monotonic()
    ticking = start(tick)
    try:
        while not ticks:
            time.sleep(0)
        assert simulate(program, 1) == 0
        there = len(ticks)
        while len(ticks) == there:
            time.sleep(0)
    finally:
        ticking.cancel()
    assert all(each >= began for each in ticks)


def test_one_simulation_at_a_time() -> None:
    async def main() -> None:
        with pytest.raises(SimulationError, match="already"):
            simulate(race, 1, loop=inner)

    inner = DeterministicLoop(2)
    simulate(main, 1)
    inner.close()


def test_futures_run_on_it_and_know_that_blocking_would_be_for_ever() -> None:
    async def main() -> bytes:
        store = MemoryStore()
        await start(store.write, "k", b"v")
        future = start(store.read, "k")
        with pytest.raises(FailedPrecondition, match="block the event loop"):
            start(asyncio.sleep, 1).result()
        return (await future).value

    assert simulate(main, 1) == b"v"


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_stores_run_on_it_directly(kind, tmp_path) -> None:
    def run(seed: int) -> str:
        store = MemoryStore() if kind == "memory" else FileStore(str(tmp_path / str(seed)))

        async def create(name: str) -> str | None:
            stamp = await store.write("k", name.encode(), NO_VALUE)
            return name if stamp.generation != UNKNOWN else None

        async def main() -> str:
            won = [name for name in await asyncio.gather(*map(create, "abcd")) if name]
            assert len(won) == 1
            assert (await store.read("k")).value == won[0].encode()
            return won[0]

        return simulate(main, seed)

    assert {run(seed) for seed in range(40)} == set("abcd")


def test_transactions_run_on_it_the_same_way_every_time() -> None:
    def run(seed: int) -> tuple[int, int]:
        loop = DeterministicLoop(seed)

        async def increment(store: MemoryStore) -> int:
            transaction = Transaction()
            view = StagedStore(store, transaction)
            found = await view.read("count")
            await asyncio.sleep(0)
            await view.write("count", b"%d" % (int(found.value or b"0") + 1))
            try:
                await transaction.commit_async()
            except ValueError:
                return 0
            return 1

        async def main() -> int:
            store = MemoryStore()
            done = sum(await asyncio.gather(*(increment(store) for _ in range(6))))
            assert int((await store.read("count")).value) == done >= 1
            return done

        return simulate(main, seed, loop=loop), loop.signature

    first = [run(seed) for seed in range(30)]
    assert first == [run(seed) for seed in range(30)]
    assert {done for done, _ in first} >= {1, 2, 3}
