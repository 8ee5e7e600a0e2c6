from __future__ import annotations

import asyncio

from asynctensor.runtime.loop_lock import LoopLock


async def entered(lock: LoopLock, order: list[int]) -> None:
    async def enter(number: int) -> None:
        async with lock:
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(enter(1), enter(2))


def test_one_at_a_time_on_each_loop() -> None:
    lock = LoopLock()
    for _ in range(2):
        order: list[int] = []
        asyncio.run(entered(lock, order))
        assert order == [1, 1, 2, 2]


def test_a_loop_that_ended_with_it_keeps_nobody_waiting() -> None:
    lock = LoopLock()
    loop = asyncio.new_event_loop()

    async def hold() -> None:
        async with lock:
            loop.stop()
            await loop.create_future()

    held = hold()
    task = loop.create_task(held)
    loop.run_forever()
    loop.close()
    order: list[int] = []
    asyncio.run(entered(lock, order))
    assert order == [1, 1, 2, 2]
    # As when the garbage is collected: on no loop at all.
    held.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
