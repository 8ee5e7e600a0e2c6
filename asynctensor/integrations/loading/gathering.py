"""`all_of`: reads that belong together; after an error of one, nothing of them is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from asynctensor.runtime.future import Future

T = TypeVar("T")


async def all_of(futures: Sequence[Future[T]]) -> list[T]:
    """What they give, in their order.

    Raises:
        BaseException: What the first of them that failed raised; all others have ended by then.
    """
    try:
        return [await future for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
        raise
