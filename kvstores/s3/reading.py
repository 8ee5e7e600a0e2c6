"""Reading one object: the request, and what its answer means."""

from __future__ import annotations

from typing import Final

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.etags import generation_of, read_conditions
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.ranges import range_header, ranged_body, unsatisfied_size
from asynctensor.kvstores._http.stored import (
    Head,
    age_of,
    failing,
    length_of,
    looked,
    missing,
    seconds_of,
    unspecified,
    weight_of,
)
from asynctensor.kvstores.s3.asking import Asker
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import ListEntry, ReadOptions, ReadResult

#: Bytes of the largest object that can be read at once: those that can be put at once.
_MOST_VALUE: Final = 5 * 2**30
#: What a conditional write says of itself, to be found again when its answer is lost.
MARK: Final = "x-amz-meta-asynctensor-write"


async def read_object(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """Reads an object; see `KeyValueStore.read`."""
    wanted = options.byte_range
    part = range_header(wanted)
    looks = part is None and not wanted.is_full
    conditions = read_conditions(options)
    if looks or conditions is None:
        return looked(await look(asker, key), options)
    fields = list(conditions)
    # Of a part there is no checksum.
    fields.append(("Range", part) if part is not None else ("x-amz-checksum-mode", "ENABLED"))
    weight = weight_of(wanted)
    answer = await asker.ask("GET", key, fields=fields, weight=weight, max_body=_MOST_VALUE)
    if is_missing(answer):
        return missing(options, answer.time)
    if answer.status == 304:
        return unspecified(options.if_not_equal, answer.time)
    if answer.status == 412:
        return unspecified(UNKNOWN, answer.time)
    if answer.status == 416:
        return await _past_the_end(asker, key, options, answer)
    if answer.status not in (200, 206):
        raise asker.refused("GET", key, answer)
    generation = generation_of(answer.headers)
    if failed := failing(generation, options, answer.time):
        return failed
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
    size, written = length_of(fields.get("content-length", "")), seconds_of(fields, "last-modified")
    age, mark = age_of(fields, written), fields.get(MARK, "")
    return Head(generation_of(fields), size, mark, written, age, answer.time)


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
    return looked(await look(asker, key), options)


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
    found = await crc32c_of(answer.body)
    if found != said:
        raise DataLoss(f"the bytes that came have the CRC-32C {found}, those stored have {said}")
