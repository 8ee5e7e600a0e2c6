"""`LoopLock`: what is done by one task at a time, on whichever loop is the I/O loop then."""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop


class LoopLock:
    """An `asyncio.Lock` of the running loop, to be entered with ``async with``.

    One of asyncio's own is of the first loop on which two tasks met at it, and an error on any
    other; and where that loop ended, or the process was forked, while a task held it, nobody would
    ever give it back.
    """

    __slots__ = ("_lock", "_loop")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        # Not where the loop has ended: its tasks are destroyed wherever the garbage is collected.
        if self._loop is _get_running_loop():
            self._lock.release()
