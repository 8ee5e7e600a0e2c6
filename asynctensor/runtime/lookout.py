"""Looking at something again and again, while a task waits for something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def looking(look: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Calls `look` on the running loop every so many seconds, until it gives False.

    Args:
        look: Called while the body of the ``with`` statement waits.
        seconds: Between two calls.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def again() -> None:
        nonlocal timer
        if look():
            timer = loop.call_later(seconds, again)

    timer = loop.call_later(seconds, again)
    try:
        yield
    finally:
        timer.cancel()
