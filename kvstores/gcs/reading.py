"""Reading one object: the request, and what its answer means.

An object that is stored with the content coding gzip is asked for as it is stored, so that its
checksum says something, and unpacked here: its value is what was packed. Of such an object a range
is cut from the whole, because those that the server gives are ranges of the packed bytes.

Source: "Objects: get", "Transcoding of gzip-compressed files" in Google's documentation.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.encodings import codings, decoded_body
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.ranges import range_header, ranged_body
from asynctensor.kvstores._http.stored import (
    Head,
    age_of,
    failing,
    length_of,
    looked,
    missing,
    unspecified,
    weight_of,
)
from asynctensor.kvstores.gcs.asking import Asker
from asynctensor.kvstores.gcs.errors import is_missing, parse_document
from asynctensor.kvstores.gcs.generation import generation_of, number_of
from asynctensor.storage.byte_range import FULL
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import ListEntry, ReadOptions, ReadResult

#: Bytes of the largest object that can be read at once.
_MOST_VALUE: Final = 5 * 2**30
#: What a conditional write says of itself, to be found again when its answer is lost.
MARK: Final = "asynctensor-write"
_LOOKED_AT: Final = "contentEncoding,generation,metadata,size,timeCreated"


async def read_object(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """Reads an object; see `KeyValueStore.read`."""
    wanted = options.byte_range
    part = range_header(wanted)
    conditions = _conditions(options)
    if conditions is None:
        return looked(await look(asker, key), options)
    if part is None and not wanted.is_full:
        return await _looked(asker, key, options)
    url = asker.address.object_url(key, asker.asked((("alt", "media"), *conditions)))
    fields = [("Accept-Encoding", "gzip")]
    if part is not None:
        fields.append(("Range", part))
    answer = await asker.ask(
        "GET", url, fields=fields, weight=weight_of(wanted), max_body=_MOST_VALUE
    )
    if answer.status == 404 and is_missing(answer):
        return missing(options, answer.time)
    if answer.status == 304:
        return unspecified(options.if_not_equal, answer.time)
    if answer.status == 412:
        return unspecified(UNKNOWN, answer.time)
    if answer.status == 416:
        return await _looked(asker, key, options)
    if answer.status not in (200, 206):
        raise asker.refused("GET", url, answer)
    if answer.status == 206 and codings(answer):
        return await _whole(asker, key, options)
    generation = generation_of(answer.headers.get("x-goog-generation"))
    if failed := failing(generation, options, answer.time):
        return failed
    if answer.status == 200:
        answer = await _unpacked(answer)
    body, _ = ranged_body(answer, wanted)
    stamp = TimestampedStorageGeneration(generation, answer.time)
    return ReadResult("value", body if isinstance(body, bytes) else bytes(body), stamp)


async def _looked(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """What a look says, where that is enough."""
    head = await look(asker, key)
    packed = head.size < 0 and head.generation != NO_VALUE
    return await _whole(asker, key, options) if packed else looked(head, options)


async def _whole(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """A range of an object of which the server gives no useful ranges."""
    found = await read_object(asker, key, replace(options, byte_range=FULL))
    if found.state != "value":
        return found
    start, stop = options.byte_range.resolve(len(found.value))
    return replace(found, value=found.value[start:stop])


async def look(asker: Asker, key: str) -> Head:
    """What is stored now; of packed values the size is not known."""
    url = asker.address.object_url(key, asker.asked((("fields", _LOOKED_AT),)))
    answer = await asker.ask("GET", url)
    if answer.status == 404 and is_missing(answer):
        return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
    if answer.status != 200:
        raise asker.refused("GET", url, answer)
    found = parse_document(answer.body)
    metadata, written = found.get("metadata"), time_of(found.get("timeCreated"))
    mark = metadata.get(MARK, "") if isinstance(metadata, dict) else ""
    size = size_of(found)
    age = age_of(answer.headers, written)
    return Head(generation_of(found.get("generation")), size, str(mark), written, age, answer.time)


async def stat(asker: Asker, key: str) -> ListEntry | None:
    """Size and time of an object; None if there is none."""
    found = await look(asker, key)
    return None if found.generation == NO_VALUE else ListEntry(key, found.size, found.written)


def size_of(found: dict[str, object]) -> int:
    """The size of a value, by the properties of its object; -1 where that is packed."""
    return -1 if found.get("contentEncoding") else length_of(str(found.get("size", "")))


def time_of(text: object) -> float | None:
    """A moment (Unix seconds), as Google writes it."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def _conditions(options: ReadOptions) -> Pairs | None:
    """The conditions of a read as a query; None: only whether there is an object is of interest."""
    found: list[tuple[str, str]] = []
    if options.if_equal != UNKNOWN:
        number = number_of(options.if_equal)
        if number is None or number == "0":
            return None
        found.append(("ifGenerationMatch", number))
    if options.if_not_equal not in (UNKNOWN, NO_VALUE):
        number = number_of(options.if_not_equal)
        if number is not None:
            found.append(("ifGenerationNotMatch", number))
    return found


async def _unpacked(answer: Response) -> Response:
    """A whole answer without content codings, compared with its checksum.

    Raises:
        DataLoss: It is damaged.
    """
    said = _crc32c_in(answer.headers.get("x-goog-hash", ""))
    sent = codings(answer)
    stored = answer.headers.get("x-goog-stored-content-encoding", "gzip" if sent else "")
    packed = stored not in ("", "identity")
    # Packed there and unpacked on the way: the checksum is of bytes that did not come.
    if bool(sent) is packed:
        await _compare(answer, said)
    if not sent:
        return answer
    body = await decoded_body(answer, _MOST_VALUE)
    plain = Response(answer.status, answer.headers, body, answer.time)
    if not packed:
        await _compare(plain, said)
    return plain


async def _compare(answer: Response, said: str | None) -> None:
    if said is not None and (found := await crc32c_of(answer.body)) != said:
        raise DataLoss(f"the bytes that came have the CRC-32C {found}, those stored have {said}")


def _crc32c_in(text: str) -> str | None:
    """The checksum in ``x-goog-hash``: ``crc32c=...,md5=...``."""
    for each in text.split(","):
        name, _, value = each.strip().partition("=")
        if name == "crc32c":
            return value
    return None
