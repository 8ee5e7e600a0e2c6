"""What is stored, as a look at it shows, and what that means for a read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from asynctensor.errors import OutOfRange
from asynctensor.kvstores._http.message import Headers, Response
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Arrival, ReadOptions


@dataclass(frozen=True, slots=True)
class Head:
    """What is stored, without its bytes.

    Attributes:
        generation: Its generation, `NO_VALUE` if there is nothing.
        size: Bytes; -1 if not known.
        mark: What the conditional write that made it said of itself; empty if none did.
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


def head_of(answer: Response, generation: bytes, mark: str) -> Head:
    """What an answer to HEAD shows.

    Args:
        answer: It.
        generation: Of the object.
        mark: The field that holds what the write that made it said of itself.
    """
    fields = answer.headers
    size, written = length_of(fields.get("content-length", "")), seconds_of(fields, "last-modified")
    return Head(
        generation, size, fields.get(mark, ""), written, age_of(fields, written), answer.time
    )


def looked(head: Head, options: ReadOptions) -> Arrival:
    """What a look says: a range of no bytes, or that a condition fails.

    Raises:
        OutOfRange: Bytes are asked for that are not there.
    """
    if head.generation == NO_VALUE:
        return missing(options, head.time)
    if failed := failing(head.generation, options, head.time):
        return failed
    start, stop = options.byte_range.resolve(max(head.size, 0))
    if stop != start:
        raise OutOfRange(f"requested byte range {options.byte_range} is not in the object")
    return Arrival("value", b"", TimestampedStorageGeneration(head.generation, head.time))


def missing(options: ReadOptions, time: float) -> Arrival:
    """The result where there is no such object."""
    unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
    stamp = TimestampedStorageGeneration(NO_VALUE, time)
    return Arrival("unspecified" if unmet else "missing", b"", stamp)


def failing(generation: bytes, options: ReadOptions, time: float) -> Arrival | None:
    """The result where a condition does not hold, whether or not the server has looked at it."""
    if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
        return unspecified(generation, time)
    return None


def unspecified(generation: bytes, time: float) -> Arrival:
    """The result where a condition of the read did not hold."""
    return Arrival("unspecified", b"", TimestampedStorageGeneration(generation, time))


def weight_of(wanted: ByteRange) -> int:
    """Bytes that a range is expected to have; 0 where that is not known."""
    if wanted.inclusive_min < 0:
        return -wanted.inclusive_min
    return 0 if wanted.exclusive_max is None else wanted.exclusive_max - wanted.inclusive_min


def length_of(text: str) -> int:
    """A size that a server gives; -1 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


def seconds_of(fields: Headers, name: str) -> float | None:
    """The time that a field says (Unix seconds)."""
    try:
        return parsedate_to_datetime(fields.get(name, "")).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def moment_of(text: object) -> float | None:
    """The time that a document says as ISO 8601 (Unix seconds)."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def age_of(fields: Headers, written: float | None) -> float:
    """Seconds since something was written, by the server's clock; 0 where it does not say."""
    now = seconds_of(fields, "date")
    return 0.0 if written is None or now is None else now - written
