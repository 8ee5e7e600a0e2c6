"""Writing and deleting one object, with or without a condition.

A conditional write whose answer was lost is looked for. Each says of itself (the header `MARK`):

    mark = token SP replaced     ; unique; the ETag that it was to replace, or "-"

What carries the token is what this write made. What stands there instead, and is marked as having
replaced the same object or is older than this write, shows that the condition failed. If neither
can be seen, and the server has not even said that it failed, nobody can know, and `OutcomeUnknown`
says so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from random import uniform
from time import monotonic
from typing import Any, Final, TypeAlias

from asynctensor.errors import Unimplemented
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.exchange import OutcomeUnknown
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores.s3.asking import Asker
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.kvstores.s3.generation import etag_of, generation_of
from asynctensor.kvstores.s3.multipart import Upload, Uploads
from asynctensor.kvstores.s3.reading import MARK, Head, crc32c, is_missing, look
from asynctensor.kvstores.s3.signing import Pairs
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

#: Bytes of which a worker thread takes the checksum.
_LARGE: Final = 1 << 22
#: What is said of an upload in parts that is over, one way or the other.
_ENDED: Final = "NoSuchUpload"
#: Seconds that the clocks of one service may differ by, whole seconds included.
_SLACK: Final = 5.0
#: Sends the write: once more each time it is called.
_Send: TypeAlias = Callable[[], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which conditions of writes a server checks, and how it wants to be asked.

    Attributes:
        writes: Whether it checks them at all.
        deletes: Whether it checks those of deletes.
        unquoted: Whether it expects ETags without quotes there (Ceph before version 20).
        parts: Whether it checks them also where parts are put together. Few but AWS do.
    """

    writes: bool = True
    deletes: bool = True
    unquoted: bool = False
    parts: bool = False

    def header(self, if_equal: bytes) -> tuple[str, str] | None:
        """The condition that an object has this generation; None if none can have it."""
        if if_equal == NO_VALUE:
            return "If-None-Match", "*"
        tag = etag_of(if_equal, quoted=not self.unquoted)
        return None if tag is None else ("If-Match", tag)


async def write_object(
    asker: Asker,
    conditions: Conditions,
    uploads: Uploads,
    key: str,
    value: Buffer,
    if_equal: bytes,
) -> TimestampedStorageGeneration:
    """Puts an object; see `KeyValueStore.write`."""
    body = memoryview(value).cast("B")
    condition = None
    if if_equal != UNKNOWN:
        condition = _condition(conditions, if_equal)
        if condition is None:
            return TimestampedStorageGeneration()
    large = len(body) > _LARGE
    whole = await asyncio.to_thread(crc32c, body) if large else crc32c(body)
    checksum = ("x-amz-checksum-crc32c", whole)
    mark = f"{secrets.token_hex(12)} {etag_of(if_equal, quoted=False) or '-'}"
    write = _Write(if_equal, mark)
    fields = [("Content-Type", "application/octet-stream")]
    if len(body) > uploads.whole and (condition is None or conditions.parts):
        upload = Upload(asker, key, body, uploads)
        end = [checksum, ("x-amz-checksum-type", "FULL_OBJECT")]
        end += [condition] if condition is not None else []
        return await _in_parts(asker, key, upload, [*fields, (MARK, mark)], end, write)
    fields.append(checksum)
    weight = len(body)
    if condition is None:
        answer = await asker.ask("PUT", key, fields=fields, body=body, weight=weight)
        return _stamp(asker, key, answer)
    fields += [condition, (MARK, mark)]

    async def send() -> Response:
        return await asker.ask(
            "PUT", key, fields=fields, body=body, weight=weight, idempotent=False
        )

    return await _until_known(asker, key, send, write)


async def _in_parts(
    asker: Asker, key: str, upload: Upload, fields: Pairs, end: Pairs, write: _Write
) -> TimestampedStorageGeneration:
    done = False
    try:
        await upload.send(fields)
        stamp = await _until_known(asker, key, lambda: upload.complete(end), write)
        done = stamp.generation != UNKNOWN
    finally:
        if not done:
            await upload.abort()
    return stamp


async def delete_object(
    asker: Asker, conditions: Conditions, key: str, if_equal: bytes
) -> TimestampedStorageGeneration:
    """Deletes an object; see `KeyValueStore.write`."""
    if if_equal == UNKNOWN:
        answer = await asker.ask("DELETE", key)
        if answer.status >= 300 and not is_missing(answer):
            raise asker.refused("DELETE", key, answer)
        return TimestampedStorageGeneration(NO_VALUE, answer.time)
    condition = _condition(conditions, if_equal)
    if if_equal == NO_VALUE:
        found = await look(asker, key)
        known = NO_VALUE if found.generation == NO_VALUE else UNKNOWN
        return TimestampedStorageGeneration(known, found.time)
    if not conditions.deletes:
        raise Unimplemented(
            "this store deletes without conditions only (conditional_delete is false)"
        )
    if condition is None:
        return TimestampedStorageGeneration()

    async def send() -> Response:
        return await asker.ask("DELETE", key, fields=(condition,), idempotent=False)

    return await _until_known(asker, key, send, _Write(if_equal, None))


class _Fate(Enum):
    """What became of a conditional write, as far as what is stored shows it."""

    HAPPENED = "it was done"
    REFUSED = "its condition did not hold"
    PENDING = "its condition holds still"
    HIDDEN = "others have written since"


@dataclass(frozen=True, slots=True)
class _Write:
    """A conditional write; `mark` None: a delete."""

    if_equal: bytes
    mark: str | None

    @property
    def method(self) -> str:
        """How it was asked for."""
        return "DELETE" if self.mark is None else "PUT"

    def fate(self, found: Head, seconds: float) -> _Fate:
        """What `found` shows, `seconds` after the write was begun."""
        if self.mark is None:
            # Whoever deleted it, it is deleted.
            if found.generation == NO_VALUE:
                return _Fate.HAPPENED
        elif found.mark == self.mark:
            return _Fate.HAPPENED
        if self.if_equal in (UNKNOWN, found.generation):
            return _Fate.PENDING
        if self.mark is not None and found.mark.partition(" ")[2] == self.mark.partition(" ")[2]:
            return _Fate.REFUSED
        if found.age > seconds + _SLACK:
            return _Fate.REFUSED
        return _Fate.HIDDEN


async def _until_known(
    asker: Asker, key: str, send: _Send, write: _Write
) -> TimestampedStorageGeneration:
    attempt, delay, begun = 0, 0.0, monotonic()
    doubt: OutcomeUnknown | None = None
    while True:
        attempt += 1
        ended = False
        try:
            answer = await send()
        except OutcomeUnknown as error:
            doubt = error
        else:
            if doubt is None or answer.status < 300:
                return _told(asker, key, answer, write)
            if not _says_no(answer):
                raise asker.refused(write.method, key, answer)
            # That an earlier attempt was done may be why.
            ended = read_problem(answer).code == _ENDED
        found = await look(asker, key)
        fate = write.fate(found, monotonic() - begun)
        if fate is _Fate.HAPPENED:
            return TimestampedStorageGeneration(found.generation, found.time)
        lost = isinstance(doubt.__cause__, NoAnswer)
        if fate is _Fate.REFUSED or (fate is _Fate.HIDDEN and not lost):
            # Of the hidden ones, the server has said that it failed.
            return TimestampedStorageGeneration(UNKNOWN, found.time)
        after = asker.retries.delay(attempt, delay, None, float("inf"), uniform)
        if fate is _Fate.HIDDEN or ended or after is None:
            raise doubt
        delay = after
        if attempt > 1 or not lost:
            await asyncio.sleep(after)


def _told(asker: Asker, key: str, answer: Response, write: _Write) -> TimestampedStorageGeneration:
    """What an answer says that leaves no doubt."""
    if answer.status < 300:
        return _done(asker, key, answer, write)
    conditional = write.if_equal != UNKNOWN and read_problem(answer).code != _ENDED
    if not conditional or not _says_no(answer):
        raise asker.refused(write.method, key, answer)
    return TimestampedStorageGeneration(UNKNOWN, answer.time)


def _says_no(answer: Response) -> bool:
    """Whether an answer says that the condition does not hold."""
    return answer.status == 412 or is_missing(answer)


def _condition(conditions: Conditions, if_equal: bytes) -> tuple[str, str] | None:
    if not conditions.writes:
        raise Unimplemented(
            "this store writes without conditions only (use_conditional_write is false)"
        )
    return conditions.header(if_equal)


def _done(asker: Asker, key: str, answer: Response, write: _Write) -> TimestampedStorageGeneration:
    if write.mark is None:
        return TimestampedStorageGeneration(NO_VALUE, answer.time)
    return _stamp(asker, key, answer)


def _stamp(asker: Asker, key: str, answer: Response) -> TimestampedStorageGeneration:
    if answer.status >= 300:
        raise asker.refused("PUT", key, answer)
    return TimestampedStorageGeneration(generation_of(answer.headers), answer.time)
