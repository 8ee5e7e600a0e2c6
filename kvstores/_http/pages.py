"""Listings that come page after page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import Buffer, ListEntry

T = TypeVar("T")
#: Bytes of a document that a worker thread reads: a page of 1,000 objects in XML takes 10 ms.
_LARGE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        entries: The objects in it, and folders, whose keys end in ``/``.
        token: Where the next page begins; None: this is the last.
    """

    entries: Sequence[ListEntry]
    token: str | None


async def all_pages(ask: Callable[[str | None], Awaitable[Page]]) -> AsyncIterator[Page]:
    """All pages of a listing.

    Args:
        ask: Asks for the page that begins at a token; None: for the first.

    Raises:
        DataLoss: The listing has no end.
    """
    token: str | None = None
    while True:
        page = await ask(token)
        yield page
        if page.token is None:
            return
        if page.token == token:
            raise DataLoss("the server answers every request for a page with the same one")
        token = page.token


async def read_document(read: Callable[[Buffer], T], body: Buffer) -> T:
    """What `read` makes of a document, without holding up the loop where that is large."""
    if memoryview(body).nbytes > _LARGE:
        return await asyncio.to_thread(read, body)
    return read(body)
