"""Tasks that nobody awaits: they tell what they came to by a callback.

Those of a service's loop (`event_loop.run_on`) may be made when it has cancelled its tasks already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asynctensor.runtime.process import PROCESS

T = TypeVar("T")


def loose_task(
    work: Coroutine[Any, Any, T], ended: Callable[[asyncio.Task[T]], object]
) -> asyncio.Task[T]:
    """A task of the running loop.

    Args:
        work: What it does.
        ended: Called with the task when it has ended, also where it was cancelled before its first
            step, and so never entered `work`.
    """
    task = asyncio.ensure_future(work)
    PROCESS.loose_tasks.add(task)
    task.add_done_callback(PROCESS.loose_tasks.discard)
    task.add_done_callback(ended)
    return task


async def end_loose_tasks(grace: float) -> None:
    """Cancels those of the running loop, and waits for their end, `grace` seconds at most."""
    loop = asyncio.get_running_loop()
    tasks = [task for task in list(PROCESS.loose_tasks) if task.get_loop() is loop]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=grace)
