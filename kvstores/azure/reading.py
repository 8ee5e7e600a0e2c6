"""Reading one blob: the request, and what its answer means."""

from __future__ import annotations

from typing import Final

from asynctensor.errors import Aborted, DataLoss
from asynctensor.kvstores._http.checksums import md5_of
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
from asynctensor.kvstores.azure.asking import Asker
from asynctensor.kvstores.azure.errors import read_problem
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import ListEntry, ReadOptions, ReadResult

#: Bytes of the largest blob that can be read at once: those that can be put at once.
MOST_VALUE: Final = 5000 * 2**20
#: What a conditional write says of itself, to be found again when its answer is lost. Names of
#: metadata are identifiers of C#: no hyphen.
MARK: Final = "x-ms-meta-asynctensorwrite"
#: Looks at a blob whose end is asked for while others replace it.
_MOST_LOOKS: Final = 16
#: What is said of a blob that is not there; anonymous readers are not told as much.
_ABSENT: Final = frozenset({"", "BlobNotFound", "ResourceNotFound"})


async def read_object(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """Reads a blob; see `KeyValueStore.read`."""
    wanted = options.byte_range
    conditions = read_conditions(options)
    looks = range_header(wanted) is None and not wanted.is_full
    if looks or conditions is None:
        return looked(await look(asker, key), options)
    if wanted.inclusive_min < 0:
        return await _read_end(asker, key, options)
    fields = list(conditions)
    part = range_header(wanted)
    if part is not None:
        fields.append(("x-ms-range", part))
    weight = weight_of(wanted)
    answer = await asker.ask("GET", key, fields=fields, weight=weight, max_body=MOST_VALUE)
    if is_missing(answer):
        return missing(options, answer.time)
    if answer.status == 304:
        return unspecified(options.if_not_equal, answer.time)
    if answer.status == 412:
        return unspecified(UNKNOWN, answer.time)
    if answer.status == 416 or _is_empty_part(answer):
        return await _past_the_end(asker, key, options, answer)
    if answer.status not in (200, 206):
        raise asker.refused("GET", key, answer)
    return await _found(answer, options)


async def _found(answer: Response, options: ReadOptions) -> ReadResult:
    generation = generation_of(answer.headers)
    if failed := failing(generation, options, answer.time):
        return failed
    if answer.status == 200:
        await _check(answer)
    body, _ = ranged_body(answer, options.byte_range)
    stamp = TimestampedStorageGeneration(generation, answer.time)
    return ReadResult("value", body if isinstance(body, bytes) else bytes(body), stamp)


async def _read_end(asker: Asker, key: str, options: ReadOptions) -> ReadResult:
    """Reads the last bytes of a blob, for which Azure has no range: looks how long it is first."""
    for _ in range(_MOST_LOOKS):
        head = await look(asker, key)
        if head.generation == NO_VALUE or failing(head.generation, options, head.time):
            return looked(head, options)
        start, stop = options.byte_range.resolve(max(head.size, 0))
        exact = ByteRange(start, stop)
        fields = (("x-ms-range", range_header(exact) or ""),)
        weight = stop - start
        answer = await asker.ask("GET", key, fields=fields, weight=weight, max_body=MOST_VALUE)
        if is_missing(answer):
            return missing(options, answer.time)
        if answer.status not in (200, 206, 416):
            raise asker.refused("GET", key, answer)
        if answer.status == 416 or generation_of(answer.headers) != head.generation:
            continue
        body, _ = ranged_body(answer, exact)
        stamp = TimestampedStorageGeneration(head.generation, answer.time)
        return ReadResult("value", body if isinstance(body, bytes) else bytes(body), stamp)
    raise Aborted(
        f"the blob was replaced {_MOST_LOOKS} times while its last {weight_of(options.byte_range)} "
        "bytes were to be read; try again"
    )


async def look(asker: Asker, key: str) -> Head:
    """What is stored now."""
    answer = await asker.ask("HEAD", key)
    if is_missing(answer):
        return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
    if answer.status != 200:
        raise asker.refused("HEAD", key, answer)
    fields = answer.headers
    size, written = length_of(fields.get("content-length", "")), seconds_of(fields, "last-modified")
    age, mark = age_of(fields, written), fields.get(MARK, "")
    return Head(generation_of(fields), size, mark, written, age, answer.time)


async def stat(asker: Asker, key: str) -> ListEntry | None:
    """Size and time of a blob; None if there is none."""
    found = await look(asker, key)
    return None if found.generation == NO_VALUE else ListEntry(key, found.size, found.written)


def is_missing(answer: Response) -> bool:
    """Whether an answer says that there is no such blob; that there is no container is an error."""
    return answer.status == 404 and read_problem(answer).code in _ABSENT


def _is_empty_part(answer: Response) -> bool:
    # Azurite answers so for any part of an empty blob.
    return answer.status == 206 and answer.headers.get("content-range") == "bytes 0--1/0"


async def _past_the_end(
    asker: Asker, key: str, options: ReadOptions, answer: Response
) -> ReadResult:
    """A range that the blob has not: nothing at its very end, or too much."""
    size = unsatisfied_size(answer)
    if size is not None:
        options.byte_range.resolve(size)
    return looked(await look(asker, key), options)


async def _check(answer: Response) -> None:
    """Compares a whole blob with its checksum, where there is one.

    Raises:
        DataLoss: They differ.
    """
    said = answer.headers.get("content-md5", "")
    if not said:
        return
    found = await md5_of(answer.body)
    if found != said:
        raise DataLoss(f"the bytes that came have the MD5 {found}, those stored have {said}")
