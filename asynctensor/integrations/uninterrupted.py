"""Writes of other libraries, which know nothing of what a cancelled write may leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Does `work` to its end; a cancellation is delivered then.

    So a write that is under way has happened when the cancellation arrives, and nothing of it
    comes later.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except Exception:  # noqa: BLE001 -- raised below, by the task itself
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, and less than the cancellation
        raise cancelled
    return task.result()
