"""`in_order`: many small asynchronous jobs at once, their results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def in_order(
    items: AsyncIterator[A], work: Callable[[A], Awaitable[B]], width: int = 32
) -> AsyncIterator[B]:
    """The results of ``work(item)``, in the order of `items`.

    Closing the iteration early, or an error in it, cancels the jobs under way and waits for their
    end.

    Args:
        items: Asked for one after the other.
        work: The job.
        width: Jobs under way at most.
    """

    async def one(item: A) -> B:
        return await work(item)

    tasks: deque[asyncio.Task[B]] = deque()
    try:
        async for item in items:
            tasks.append(asyncio.ensure_future(one(item)))
            if len(tasks) >= width:
                yield await tasks[0]
                tasks.popleft()
        while tasks:
            yield await tasks[0]
            tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
