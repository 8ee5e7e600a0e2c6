"""Listing a bucket, page after page, and deleting many of its objects at once.

Source: "ListObjectsV2" and "DeleteObjects" in AWS's reference of the S3 API.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterable
from hashlib import md5
from typing import Final
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from asynctensor.errors import DataLoss, Error
from asynctensor.kvstores._http.pages import Page, all_pages, read_document
from asynctensor.kvstores._http.stored import length_of, moment_of
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.errors import problem
from asynctensor.kvstores.s3.writing import S3Writer
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, ListEntry

#: Keys in one request to delete (S3's limit).
_MOST_DELETED: Final = 1000
#: What XML 1.0 cannot hold, not even escaped, or does not keep as it is.
_NOT_IN_XML: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


async def list_range(asker: S3Asker, key_range: KeyRange) -> AsyncIterator[ListEntry]:
    """The objects of a range, in order."""
    prefix = _repeatable(key_range.common_prefix)
    query = [("prefix", prefix)]
    after = _repeatable(_before(key_range.inclusive_min))
    if after and after > prefix:
        query.append(("start-after", after))
    async for page in _pages(asker, query):
        for entry in page.entries:
            if entry.key in key_range:
                yield entry
        if page.entries and _is_beyond(page.entries[-1].key, key_range):
            return


async def list_folder(asker: S3Asker, prefix: str) -> AsyncIterator[ListEntry]:
    """What is directly below a prefix, which is empty or ends in ``/``."""
    async for page in _pages(asker, [("prefix", prefix), ("delimiter", "/")]):
        for entry in page.entries:
            yield entry


async def delete_keys(asker: S3Asker, writer: S3Writer, keys: Iterable[str]) -> None:
    """Deletes up to `_MOST_DELETED` objects, those that there are.

    Raises:
        Error: Some could not be deleted.
    """
    plain = [key for key in keys if _NOT_IN_XML.search(key) is None]
    odd = [key for key in keys if _NOT_IN_XML.search(key) is not None]
    for key in odd:
        await writer.delete_anyhow(key)
    if not plain:
        return
    items = "".join([f"<Object><Key>{escape(key)}</Key></Object>" for key in plain])
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
        f"{items}</Delete>"
    ).encode()
    digest = base64.b64encode(md5(body, usedforsecurity=False).digest()).decode()
    fields = (("Content-MD5", digest), ("Content-Type", "application/xml"))
    answer = await asker.ask("POST", None, query=(("delete", ""),), fields=fields, body=body)
    if answer.status in (405, 501):
        # Not every service has it.
        for key in plain:
            await writer.delete_anyhow(key)
        return
    if answer.status != 200:
        raise asker.refused("POST", None, answer)
    root = parse_document(answer.body)
    if root.tag != "DeleteResult":
        raise DataLoss(f"asked to delete objects, the server sent {root.tag!r}")
    for failed in root.iter("Error"):
        raise _not_deleted(failed)


async def delete_range(asker: S3Asker, writer: S3Writer, key_range: KeyRange) -> None:
    """Deletes the objects of a range."""
    found: list[str] = []
    async for entry in list_range(asker, key_range):
        found.append(entry.key)
        if len(found) == _MOST_DELETED:
            await delete_keys(asker, writer, found)
            found = []
    if found:
        await delete_keys(asker, writer, found)


def _not_deleted(failed: Element) -> Error:
    said = problem(failed.findtext("Code") or "", failed.findtext("Message") or "")
    cls = said.error or Error
    key = failed.findtext("Key")
    return cls(f"the server deleted no such object: {said.code} {said.message}", key=key)


def _pages(asker: S3Asker, query: list[tuple[str, str]]) -> AsyncIterator[Page]:
    async def ask(token: str | None) -> Page:
        asked = [("list-type", "2"), ("encoding-type", "url"), *query]
        if token is not None:
            asked.append(("continuation-token", token))
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
    if root.tag != "ListBucketResult":
        raise DataLoss(f"asked for a listing, the server sent {root.tag!r}")
    encoded = root.findtext("EncodingType") == "url"
    entries = [_entry(each, encoded=encoded) for each in root.iter("Contents")]
    entries += [
        ListEntry(_text(each, "Prefix", encoded=encoded)) for each in root.iter("CommonPrefixes")
    ]
    entries.sort(key=lambda entry: entry.key.encode("utf-8", "surrogatepass"))
    token = None
    if root.findtext("IsTruncated") == "true":
        token = root.findtext("NextContinuationToken")
        if not token:
            raise DataLoss("a page of a listing does not say where the next one begins")
    return Page(entries, token)


def _entry(element: Element, *, encoded: bool) -> ListEntry:
    return ListEntry(
        _text(element, "Key", encoded=encoded),
        length_of(element.findtext("Size") or ""),
        moment_of(element.findtext("LastModified")),
    )


def _text(element: Element, name: str, *, encoded: bool) -> str:
    text = element.findtext(name)
    if not text:
        raise DataLoss(f"a listing holds an entry without {name!r}")
    if not encoded:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise DataLoss(f"a listing holds the key {text!r}, which is no Unicode text") from error


def _before(key: str) -> str:
    """A key below `key`, with few between; listings begin after what they are given."""
    if not key:
        return ""
    last = key[-1]
    if last == "\0":
        return key[:-1]
    return f"{key[:-1]}{chr(ord(last) - 1)}~~~~" if "!" < last <= "~" else key[:-1]


def _repeatable(text: str) -> str:
    """The part of `text` that answers can repeat as it is: Ceph does so whatever is asked for."""
    found = _NOT_IN_XML.search(text)
    return text if found is None else text[: found.start()]


def _is_beyond(key: str, key_range: KeyRange) -> bool:
    stop = key_range.exclusive_max
    return bool(stop) and key.encode("utf-8", "surrogatepass") >= stop.encode(
        "utf-8", "surrogatepass"
    )
