"""Threads for plain functions that users wrote: how long those take, nobody here knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from asynctensor.runtime.lookout import looking
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import WorkerPool, usable_cores

T = TypeVar("T")

#: Calls under way at once before one that waits gets a thread of its own: that of Python's own
#: executor, as what users call is as often a request as it is arithmetic.
SIZE = min(32, usable_cores() + 4)
#: Seconds that a call waits for a free thread. All threads may be blocked by calls that wait, by
#: way of another array, for just this one.
PATIENCE = 0.1


class GuestPool(WorkerPool):
    """A worker pool that grows when a call has waited for `PATIENCE`.

    So calls that block on other calls never deadlock, however deep. It never shrinks: idle
    threads cost nothing but address space.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(SIZE, "guest")

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """See `WorkerPool.run`."""
        begun = False

        def call() -> T:
            nonlocal begun
            begun = True
            return function(*args)

        def look() -> bool:
            if not begun:
                self._enlarge()
            return not begun

        with looking(look, PATIENCE):
            return await super().run(call)

    def _enlarge(self) -> None:
        with PROCESS.lock:
            self._size += 1
            self._full = False
            self._grow()


def guest_pool() -> GuestPool:
    """The process's one pool for users' functions; not for our own work, which must not wait."""
    with PROCESS.lock:
        pool = PROCESS.shared.get("guest")
        if not isinstance(pool, GuestPool):
            pool = PROCESS.shared["guest"] = GuestPool()
        return pool
