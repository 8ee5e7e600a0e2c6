"""Listings that come page after page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import ListEntry


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
