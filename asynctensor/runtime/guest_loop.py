"""The guest loop: where users' coroutines run that came without a loop of their own.

A loop on a thread of its own, started by the first such coroutine: a slow step of one delays other
guests, but no request of ours. It ends with the runtime, after the I/O loop, which is what waits
for guests; a forked child starts another one when it needs it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from asynctensor.errors import FailedPrecondition
from asynctensor.runtime.job import abandon_all
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.threads import start_thread

_log = logging.getLogger(__name__)


class GuestLoop:
    """The loop and its thread."""

    __slots__ = ("_thread", "loop")

    def __init__(self, new_loop: Callable[[], AbstractEventLoop]) -> None:
        self.loop = new_loop()
        self._thread: threading.Thread = start_thread(self._serve, name="asynctensor-guests")

    def _serve(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def close_down(self, grace: float) -> None:
        """Cancels what runs, and stops the loop; waits for that `grace` seconds at most."""
        if self.loop.is_closed():
            return
        end = self._end(grace)
        try:
            self.loop.call_soon_threadsafe(self.loop.create_task, end)
        except RuntimeError:
            end.close()
            return
        self._thread.join(2 * grace)

    async def _end(self, grace: float) -> None:
        loop = self.loop
        # What is stuck is destroyed while pending; the loop would print that.
        loop.set_exception_handler(_say_nothing)
        tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await loop.shutdown_asyncgens()
        abandon_all(loop)
        loop.stop()


def _say_nothing(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.debug("While the guest loop ended: %s", context.get("message"))


def guest_loop_made_by(new_loop: Callable[[], AbstractEventLoop]) -> AbstractEventLoop:
    """The guest loop, started if need be.

    Args:
        new_loop: Makes it.

    Raises:
        FailedPrecondition: The interpreter is exiting.
    """
    guests = PROCESS.guests
    if guests is not None and not guests.loop.is_closed():
        return guests.loop
    with PROCESS.lock:
        guests = PROCESS.guests
        if guests is None or guests.loop.is_closed():
            if PROCESS.exiting:
                raise FailedPrecondition(
                    "the interpreter is exiting: nothing can be started any more"
                )
            guests = PROCESS.guests = GuestLoop(new_loop)
        return guests.loop


def close_guest_loop(grace: float) -> None:
    """Ends the guest loop, if there is one; waits for that, but not for ever."""
    guests = PROCESS.guests
    if isinstance(guests, GuestLoop):
        guests.close_down(grace)
    with PROCESS.lock:
        if PROCESS.guests is guests:
            PROCESS.guests = None
