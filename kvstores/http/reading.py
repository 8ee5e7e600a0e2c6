"""Reading one value: the request, and what its answer means."""

from __future__ import annotations

import time as clock
from dataclasses import replace

from asynctensor.errors import Error, OutOfRange
from asynctensor.kvstores._http.begun_read import BegunRead, CountsReads
from asynctensor.kvstores._http.encodings import codings, decoded_body
from asynctensor.kvstores._http.errors import plain_problem, refusal
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.ranges import range_header, ranged_body, unsatisfied_size
from asynctensor.kvstores._http.stored import length_of, weight_of
from asynctensor.kvstores.http.asking import MISSING, MOST_UNASKED, Asker, Fields
from asynctensor.kvstores.http.generation import (
    generation_of,
    if_equal_headers,
    if_not_equal_headers,
    last_modified,
)
from asynctensor.storage.byte_range import FULL
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Arrival,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)


async def read_value(asker: Asker, url: str, options: ReadOptions) -> ReadResult:
    """Reads the value at a URL; see `KeyValueStore.read`."""
    wanted = options.byte_range
    fields, look = _asked(options)
    answer = await asker.ask("HEAD" if look else "GET", url, fields, weight_of(wanted))
    time = _time(answer)
    if answer.status == 416 and not look:
        return await _past_the_end(asker, url, options, answer)
    if answer.status in (200, 206):
        if look:
            return _looked(answer, options, time)
        if codings(answer):
            return await _unpacked(asker, url, answer, options, time)
    arrival = arrived(answer, options, time)
    if arrival is None:
        raise refusal(Request("GET", url), answer, plain_problem(answer))
    return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)


def begun_fields(asker: Asker, options: ReadOptions) -> Fields | None:
    """What a read says, but for its range, that is begun without a task; None if it cannot be."""
    conditions = _conditions(options)
    return None if conditions is None else asker.all_fields((*conditions, *freshness(options)))


class HttpRead(BegunRead):
    """A read of a value that was begun without a task.

    Args:
        asker: Who asks.
        store: See `BegunRead`, as for the others.
        key: What is read.
        options: How.
        told: Told what was found.
    """

    __slots__ = ("_asker",)

    def __init__(
        self, asker: Asker, store: CountsReads, key: str, options: ReadOptions, told: Told
    ) -> None:
        super().__init__(store, key, options, told)
        self._asker = asker

    def read(self, answer: Response) -> None:
        """See `BegunRead.read`."""
        found: Arrival | Error | None = None
        if not codings(answer):
            found = arrived(answer, self.options, _time(answer))
            if found is None and self._asker.is_final(answer):
                found = refusal(Request("GET", self._request.url), answer, plain_problem(answer))
        self.tell(found)


def _asked(options: ReadOptions) -> tuple[Fields, bool]:
    """What a request says, and whether it is a look at the head only."""
    wanted = options.byte_range
    conditions = _conditions(options)
    part = range_header(wanted)
    look = conditions is None or (part is None and not wanted.is_full)
    fields = (*(conditions or ()), *freshness(options))
    return (fields if part is None else (*fields, ("Range", part))), look


def arrived(answer: Response, options: ReadOptions, time: float) -> Arrival | None:
    """What an answer without content codings says; None if it is a refusal.

    Raises:
        OutOfRange: The value is too short.
        FailedPrecondition: The answer is not to what was asked.
    """
    status = answer.status
    if status in (200, 206):
        body, size = ranged_body(answer, options.byte_range)
        generation = generation_of(answer.headers, size)
        if not _fails(generation, options):
            return Arrival("value", body, TimestampedStorageGeneration(generation, time))
    elif status in MISSING:
        unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
        stamp = TimestampedStorageGeneration(NO_VALUE, time)
        return Arrival("unspecified" if unmet else "missing", b"", stamp)
    elif status == 304:
        generation = options.if_not_equal
    elif status == 412:
        generation = UNKNOWN
    else:
        return None
    return Arrival("unspecified", b"", TimestampedStorageGeneration(generation, time))


async def _unpacked(
    asker: Asker, url: str, answer: Response, options: ReadOptions, time: float
) -> ReadResult:
    """What an answer with content codings says."""
    if answer.status == 206:
        # A part of something packed is not a part of the value.
        whole = await read_value(asker, url, replace(options, byte_range=FULL))
        start, stop = options.byte_range.resolve(len(whole.value))
        return replace(whole, value=whole.value[start:stop])
    plain = replace(answer, body=await decoded_body(answer, MOST_UNASKED))
    arrival = arrived(plain, options, time)
    assert arrival is not None
    return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)


async def _past_the_end(
    asker: Asker, url: str, options: ReadOptions, answer: Response
) -> ReadResult:
    """A range that the server has not: nothing at the very end of the value, or too much."""
    size = unsatisfied_size(answer)
    if size is not None:
        options.byte_range.resolve(size)
    head = await asker.ask("HEAD", url, freshness(options), 0)
    if head.status != 200:
        raise OutOfRange(f"requested byte range {options.byte_range} is not in the value")
    return _looked(head, options, _time(head))


async def stat(asker: Asker, url: str, key: str) -> ListEntry | None:
    """Size and time of the value at a URL; None if there is none."""
    answer = await asker.ask("HEAD", url, freshness(DEFAULT_READ))
    if answer.status in MISSING:
        return None
    if answer.status != 200:
        raise refusal(Request("HEAD", url), answer, plain_problem(answer))
    return ListEntry(
        key, length_of(answer.headers.get("content-length", "")), last_modified(answer.headers)
    )


def _conditions(options: ReadOptions) -> Fields | None:
    """The conditions of a read as headers; None: none can hold, only its absence is of interest."""
    found: list[tuple[str, str]] = []
    if options.if_equal != UNKNOWN:
        asked = None if options.if_equal == NO_VALUE else if_equal_headers(options.if_equal)
        if asked is None:
            return None
        found += asked
    if options.if_not_equal not in (UNKNOWN, NO_VALUE):
        found += if_not_equal_headers(options.if_not_equal)
    return tuple(found)


def _fails(generation: bytes, options: ReadOptions) -> bool:
    """Whether a condition does not hold, whether or not the server has looked at it."""
    return options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation


def _looked(head: Response, options: ReadOptions, time: float) -> ReadResult:
    """What a look at the head of a value says: a range of no bytes, or that a condition fails."""
    size = length_of(head.headers.get("content-length", ""))
    if size >= 0 and not codings(head):
        options.byte_range.resolve(size)
    generation = generation_of(head.headers, size if size >= 0 else None)
    stamp = TimestampedStorageGeneration(generation, time)
    return ReadResult("unspecified" if _fails(generation, options) else "value", b"", stamp)


def freshness(options: ReadOptions) -> Fields:
    """What caches on the way may answer, as a header."""
    bound = options.staleness_bound
    if bound == float("-inf"):
        return ()
    age = clock.time() - bound
    return (("Cache-Control", f"max-age={int(age)}" if age >= 1 else "no-cache"),)


def _time(answer: Response) -> float:
    """When an answer was current: that of a cache on the way says how old it is."""
    age = answer.headers.get("age", "")
    return answer.time - (int(age) if age.isascii() and age.isdigit() and len(age) < 12 else 0)
