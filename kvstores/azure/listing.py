"""Listing a container, page after page, and deleting many of its blobs at once.

Source: "List Blobs" in Microsoft's reference of the Storage Services REST API. In which order blobs
come it does not say for all Unicode: azurite compares UTF-16, keys here are compared as UTF-8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.message import Headers
from asynctensor.kvstores._http.pages import Page, all_pages, read_document
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.side_by_side import side_by_side
from asynctensor.kvstores._http.stored import length_of, seconds_of
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.batch import MOST_IN_BATCH, delete_batch
from asynctensor.kvstores.azure.writing import AzureWriter
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, ListEntry

#: Batches of deletes under way at once.
_BATCHES: Final = 4
#: Below these characters, UTF-8 and UTF-16 order keys alike.
_SURROGATES: Final = "\ud800"


async def list_range(asker: AzureAsker, key_range: KeyRange) -> AsyncIterator[ListEntry]:
    """The blobs of a range."""
    stop = key_range.exclusive_max
    stops = bool(stop) and max(stop) < _SURROGATES
    async for page in _pages(asker, (("prefix", key_range.common_prefix),)):
        for entry in page.entries:
            if entry.key in key_range:
                yield entry
        if stops and page.entries and page.entries[-1].key >= stop:
            return


async def list_folder(asker: AzureAsker, prefix: str) -> AsyncIterator[ListEntry]:
    """What is directly below a prefix, which is empty or ends in ``/``."""
    async for page in _pages(asker, (("prefix", prefix), ("delimiter", "/"))):
        for entry in page.entries:
            yield entry


async def delete_range(asker: AzureAsker, writer: AzureWriter, key_range: KeyRange) -> None:
    """Deletes the blobs of a range."""
    found: list[str] = []
    async for entry in list_range(asker, key_range):
        found.append(entry.key)
        if len(found) == MOST_IN_BATCH * _BATCHES:
            await _delete(asker, writer, found)
            found = []
    await _delete(asker, writer, found)


async def _delete(asker: AzureAsker, writer: AzureWriter, keys: Sequence[str]) -> None:
    starts = range(0, len(keys), MOST_IN_BATCH)
    await side_by_side(
        [delete_batch(asker, writer, keys[start : start + MOST_IN_BATCH]) for start in starts]
    )


def _pages(asker: AzureAsker, query: Pairs) -> AsyncIterator[Page]:
    async def ask(marker: str | None) -> Page:
        asked = [("comp", "list"), *[(name, value) for name, value in query if value]]
        if marker is not None:
            asked.append(("marker", marker))
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
    root = parse_document(body)
    blobs = root.find("Blobs")
    if root.tag != "EnumerationResults" or blobs is None:
        raise DataLoss(f"asked for a listing, the server sent {root.tag!r}")
    entries = [entry for each in blobs if (entry := _entry(each)) is not None]
    return Page(entries, root.findtext("NextMarker") or None)


def _entry(element: Element) -> ListEntry | None:
    """A blob or folder; None: neither."""
    if element.tag == "BlobPrefix":
        return ListEntry(_name(element))
    if element.tag != "Blob":
        return None
    properties = element.find("Properties")
    if properties is None:
        properties = element
    if properties.findtext("ResourceType") == "directory":
        # Where accounts have folders, they are listed like blobs.
        return None
    size = length_of(properties.findtext("Content-Length") or "")
    fields = Headers((("Last-Modified", properties.findtext("Last-Modified") or ""),))
    return ListEntry(_name(element), size, seconds_of(fields, "last-modified"))


def _name(element: Element) -> str:
    name = element.find("Name")
    if name is None or not name.text:
        raise DataLoss("a listing holds an entry without a name")
    if name.get("Encoded") != "true":
        return name.text
    try:
        return unquote(name.text, errors="strict")
    except UnicodeDecodeError as error:
        raise DataLoss(f"a listing holds the key {name.text!r}, which is no text") from error
