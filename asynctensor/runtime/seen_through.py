"""Work that is not given up half way when whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def seen_through(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; a cancellation is delivered once it has ended.

    So a write that is under way has happened when the cancellation arrives, and nothing of it
    comes later.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
