"""Listing a bucket, page after page, and deleting many of its objects.

Source: "Objects: list" in Google's documentation; offsets are compared as UTF-8, as ranges are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asynctensor.errors import DataLoss
from asynctensor.kvstores.gcs.asking import Asker
from asynctensor.kvstores.gcs.errors import is_missing, parse_document
from asynctensor.kvstores.gcs.reading import size_of, time_of
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry

_FIELDS: Final = "items(name,size,timeCreated,contentEncoding),nextPageToken,prefixes"
#: Objects deleted beside each other; how many of the requests are under way is for the scheduler.
_BESIDE: Final = 256


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        entries: The objects in it, and folders, whose keys end in ``/``.
        token: Where the next page begins; None: this is the last.
    """

    entries: Sequence[ListEntry]
    token: str | None


async def list_range(asker: Asker, key_range: KeyRange) -> AsyncIterator[ListEntry]:
    """The objects of a range, in order."""
    query = [("prefix", key_range.common_prefix)]
    if key_range.inclusive_min != key_range.common_prefix:
        query.append(("startOffset", key_range.inclusive_min))
    if key_range != KeyRange.prefix(key_range.common_prefix) and key_range.exclusive_max:
        query.append(("endOffset", key_range.exclusive_max))
    async for page in _pages(asker, query):
        for entry in page.entries:
            # Not every service heeds the offsets.
            if entry.key in key_range:
                yield entry


async def list_folder(asker: Asker, prefix: str) -> AsyncIterator[ListEntry]:
    """What is directly below a prefix, which is empty or ends in ``/``."""
    async for page in _pages(asker, [("prefix", prefix), ("delimiter", "/")]):
        for entry in page.entries:
            yield entry


async def delete_range(asker: Asker, key_range: KeyRange) -> None:
    """Deletes the objects of a range."""
    found: list[str] = []
    async for entry in list_range(asker, key_range):
        found.append(entry.key)
        if len(found) == _BESIDE:
            await _delete(asker, found)
            found = []
    await _delete(asker, found)


async def _delete(asker: Asker, keys: Iterable[str]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(_delete_one(asker, key))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _delete_one(asker: Asker, key: str) -> None:
    url = asker.address.object_url(key, asker.asked(()))
    answer = await asker.ask("DELETE", url)
    if answer.status >= 300 and not is_missing(answer):
        raise asker.refused("DELETE", url, answer)


async def _pages(asker: Asker, query: Sequence[tuple[str, str]]) -> AsyncIterator[Page]:
    token: str | None = None
    while True:
        asked = [("fields", _FIELDS), *query]
        if token is not None:
            asked.append(("pageToken", token))
        url = asker.address.list_url(asker.asked(asked))
        answer = await asker.ask("GET", url)
        if answer.status != 200:
            raise asker.refused("GET", url, answer)
        page = parse_page(parse_document(answer.body))
        yield page
        if page.token is None:
            return
        if page.token == token:
            raise DataLoss("the server answers every request for a page with the same one")
        token = page.token


def parse_page(found: dict[str, Any]) -> Page:
    """A page of a listing.

    Raises:
        DataLoss: It is none.
    """
    items, prefixes = found.get("items", []), found.get("prefixes", [])
    token = found.get("nextPageToken")
    if not isinstance(items, list) or not isinstance(prefixes, list):
        raise DataLoss("the answer is no listing")
    if not (token is None or isinstance(token, str)):
        raise DataLoss("a page of a listing does not say where the next one begins")
    entries = [_entry(item) for item in items] + [ListEntry(_text(each)) for each in prefixes]
    entries.sort(key=lambda entry: entry.key.encode())
    return Page(entries, token or None)


def _entry(item: object) -> ListEntry:
    if not isinstance(item, dict):
        raise DataLoss("a listing holds an entry that is no object")
    return ListEntry(_text(item.get("name")), size_of(item), time_of(item.get("timeCreated")))


def _text(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise DataLoss("a listing holds an entry without a name")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataLoss("a listing holds a name that is no Unicode text") from error
    return name
