"""Waiting for what happens on the loop that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object]) -> None:
    """Returns once something holds; a test that waits in vain is ended by its limit."""
    while not holds():  # noqa: ASYNC110 -- it happens on this very loop
        await asyncio.sleep(0)
