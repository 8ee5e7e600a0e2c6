"""Reading one object: the request, and what its answer means."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import google_crc32c
import numpy as np

from asynctensor.errors import DataLoss, OutOfRange
from asynctensor.kvstores._http.message import Headers, Response
from asynctensor.kvstores._http.ranges import range_header, ranged_body, unsatisfied_size
from asynctensor.kvstores.s3.asking import Asker
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.kvstores.s3.generation import etag_of, generation_of
from asynctensor.kvstores.s3.signing import Pairs
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import ListEntry, ReadOptions, ReadResult

#: Bytes of the largest object that can be read at once: those that can be put at once.
_MOST_VALUE: Final = 5 * 2**30
#: Bytes of which a worker thread takes the checksum.
_LARGE: Final = 1 << 22
#: What a conditional write says of itself, to be found again when its answer is lost.
MARK: Final = "x-amz-meta-asynctensor-write"


@dataclass(frozen=True, slots=True)
class Head:
    """What is stored, without its bytes.

    Attributes:
        generation: Its generation, `NO_VALUE` if there is nothing.
        size: Bytes; -1 if not known.
        mark: What the conditional write that made it said of itself (`MARK`); empty if none did.
        written: When it was written (Unix seconds), if the server says.
        age: Seconds since then, by the server's clock; 0 where it does not say.
        time: When it was current.
    """

    generation: bytes
    size: int
    mark: str
    written: float | None
    age: float
    time: float


async def read_object(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """Reads an object; see `KeyValueStore.read`."""
    wanted = options.byte_range
    part = range_header(wanted)
    looks = part is None and not wanted.is_full
    conditions = _conditions(options)
    if looks or conditions is None:
        return _looked(await look(asker, key), options)
    fields = list(conditions)
    # Of a part there is no checksum.
    fields.append(("Range", part) if part is not None else ("x-amz-checksum-mode", "ENABLED"))
    weight = _weight(wanted)
    answer = await asker.ask("GET", key, fields=fields, weight=weight, max_body=_MOST_VALUE)
    if is_missing(answer):
        unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
        stamp = TimestampedStorageGeneration(NO_VALUE, answer.time)
        return ReadResult("unspecified" if unmet else "missing", b"", stamp)
    if answer.status == 304:
        return _unspecified(options.if_not_equal, answer.time)
    if answer.status == 412:
        return _unspecified(UNKNOWN, answer.time)
    if answer.status == 416:
        return await _past_the_end(asker, key, options, answer)
    if answer.status not in (200, 206):
        raise asker.refused("GET", key, answer)
    generation = generation_of(answer.headers)
    if unspecified := _fails(generation, options, answer.time):
        return unspecified
    if answer.status == 200:
        await _check(answer)
    body, _ = ranged_body(answer, wanted)
    stamp = TimestampedStorageGeneration(generation, answer.time)
    return ReadResult("value", body if isinstance(body, bytes) else bytes(body), stamp)


async def look(asker: Asker, key: str) -> Head:
    """What is stored now."""
    answer = await asker.ask("HEAD", key)
    if answer.status == 404:
        return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
    if answer.status != 200:
        raise asker.refused("HEAD", key, answer)
    fields = answer.headers
    text = fields.get("content-length", "")
    size = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1
    written, now = _seconds(fields, "last-modified"), _seconds(fields, "date")
    age = 0.0 if written is None or now is None else now - written
    return Head(generation_of(fields), size, fields.get(MARK, ""), written, age, answer.time)


async def stat(asker: Asker, key: str) -> ListEntry | None:
    """Size and time of an object; None if there is none."""
    found = await look(asker, key)
    return None if found.generation == NO_VALUE else ListEntry(key, found.size, found.written)


def is_missing(answer: Response) -> bool:
    """Whether an answer says that there is no such object; that there is no bucket is an error."""
    return answer.status == 404 and read_problem(answer).code != "NoSuchBucket"


async def _past_the_end(
    asker: Asker, key: str, options: ReadOptions, answer: Response
) -> ReadResult:
    """A range that the object has not: nothing at its very end, or too much."""
    size = unsatisfied_size(answer)
    if size is not None:
        options.byte_range.resolve(size)
    return _looked(await look(asker, key), options)


def _looked(head: Head, options: ReadOptions) -> ReadResult:
    """What a look says: a range of no bytes, or that a condition fails."""
    if head.generation == NO_VALUE:
        unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
        stamp = TimestampedStorageGeneration(NO_VALUE, head.time)
        return ReadResult("unspecified" if unmet else "missing", b"", stamp)
    if unspecified := _fails(head.generation, options, head.time):
        return unspecified
    start, stop = options.byte_range.resolve(max(head.size, 0))
    if stop != start:
        raise OutOfRange(f"requested byte range {options.byte_range} is not in the object")
    return ReadResult("value", b"", TimestampedStorageGeneration(head.generation, head.time))


def _conditions(options: ReadOptions) -> Pairs | None:
    """The conditions of a read as headers; None: none can hold, only its absence is of interest."""
    found: list[tuple[str, str]] = []
    if options.if_equal != UNKNOWN:
        tag = etag_of(options.if_equal)
        if tag is None:
            return None
        found.append(("If-Match", tag))
    if options.if_not_equal not in (UNKNOWN, NO_VALUE):
        tag = etag_of(options.if_not_equal)
        if tag is not None:
            found.append(("If-None-Match", tag))
    return found


def _fails(generation: bytes, options: ReadOptions, time: float) -> ReadResult | None:
    """The result where a condition does not hold, whether or not the server has looked at it."""
    if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
        return _unspecified(generation, time)
    return None


def _unspecified(generation: bytes, time: float) -> ReadResult:
    return ReadResult("unspecified", b"", TimestampedStorageGeneration(generation, time))


async def _check(answer: Response) -> None:
    """Compares a whole object with its checksum, where the server gives one.

    Raises:
        DataLoss: They differ.
    """
    said = answer.headers.get("x-amz-checksum-crc32c", "")
    # Of an object in parts, whose ETag ends in their number, it may be that of their checksums,
    # also where the server calls it that of the whole (moto does).
    in_parts = "-" in answer.headers.get("etag", "")
    if not said or "-" in said or in_parts:
        return
    body = answer.body
    if len(body) > _LARGE:
        found = await asyncio.to_thread(crc32c, body)
    else:
        found = crc32c(body)
    if found != said:
        raise DataLoss(f"the bytes that came have the CRC-32C {found}, those stored have {said}")


def crc32c(*pieces: bytes | bytearray | memoryview) -> str:
    """The CRC-32C of what the pieces are together, as S3 writes it."""
    total = 0
    for piece in pieces:
        # The C function takes bytes and arrays, but no memoryview.
        whole = piece if isinstance(piece, bytes) else np.frombuffer(piece, np.uint8)
        total = google_crc32c.extend(total, whole)
    return base64.b64encode(total.to_bytes(4, "big")).decode()


def _seconds(fields: Headers, name: str) -> float | None:
    try:
        return parsedate_to_datetime(fields.get(name, "")).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def _weight(wanted: ByteRange) -> int:
    if wanted.inclusive_min < 0:
        return -wanted.inclusive_min
    return 0 if wanted.exclusive_max is None else wanted.exclusive_max - wanted.inclusive_min
