"""Listing a bucket, page after page, and deleting many of its objects.

Source: "Objects: list" in Google's documentation; offsets are compared as UTF-8, as ranges are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.pages import Page, all_pages, read_document
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.side_by_side import side_by_side
from asynctensor.kvstores._http.stored import moment_of
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.kvstores.gcs.errors import parse_document
from asynctensor.kvstores.gcs.reading import size_of
from asynctensor.kvstores.gcs.writing import GcsWriter
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, ListEntry

_FIELDS: Final = "items(name,size,timeCreated,contentEncoding),nextPageToken,prefixes"
#: Objects deleted beside each other; how many of the requests are under way is for the scheduler.
_BESIDE: Final = 256


async def list_range(asker: GcsAsker, key_range: KeyRange) -> AsyncIterator[ListEntry]:
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


async def list_folder(asker: GcsAsker, prefix: str) -> AsyncIterator[ListEntry]:
    """What is directly below a prefix, which is empty or ends in ``/``."""
    async for page in _pages(asker, [("prefix", prefix), ("delimiter", "/")]):
        for entry in page.entries:
            yield entry


async def delete_range(asker: GcsAsker, writer: GcsWriter, key_range: KeyRange) -> None:
    """Deletes the objects of a range."""
    found: list[str] = []
    async for entry in list_range(asker, key_range):
        found.append(entry.key)
        if len(found) == _BESIDE:
            await side_by_side([writer.delete_anyhow(key) for key in found])
            found = []
    await side_by_side([writer.delete_anyhow(key) for key in found])


def _pages(asker: GcsAsker, query: Pairs) -> AsyncIterator[Page]:
    async def ask(token: str | None) -> Page:
        asked = [("fields", _FIELDS), *query]
        if token is not None:
            asked.append(("pageToken", token))
        answer = await asker.ask("GET", None, query=asked)
        if answer.status != 200:
            raise asker.refused("GET", None, answer)
        return await read_document(parse_page, answer.body)

    return all_pages(ask)


def parse_page(body: Buffer) -> Page:
    """A page of a listing.

    Raises:
        DataLoss: It is none.
    """
    found = parse_document(body)
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
    return ListEntry(_text(item.get("name")), size_of(item), moment_of(item.get("timeCreated")))


def _text(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise DataLoss("a listing holds an entry without a name")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataLoss("a listing holds a name that is no Unicode text") from error
    return name
