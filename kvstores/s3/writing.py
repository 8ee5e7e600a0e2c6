"""Writing and deleting one object, with or without a condition.

A conditional write whose answer was lost is looked for (`lost_answers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asynctensor.errors import Unimplemented
from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.etags import etag_of, generation_of, write_condition
from asynctensor.kvstores._http.lost_answers import (
    ConditionalWrite,
    Send,
    new_mark,
    until_known,
)
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.s3.asking import Asker
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.kvstores.s3.multipart import Upload, Uploads
from asynctensor.kvstores.s3.reading import MARK, is_missing, look
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

#: What is said of an upload in parts that is over, one way or the other.
_ENDED: Final = "NoSuchUpload"


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
        return write_condition(if_equal, quoted=not self.unquoted)


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
    checksum = ("x-amz-checksum-crc32c", await crc32c_of(body))
    mark = new_mark(etag_of(if_equal, quoted=False))
    write = ConditionalWrite(if_equal, mark)
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
    asker: Asker, key: str, upload: Upload, fields: Pairs, end: Pairs, write: ConditionalWrite
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

    return await _until_known(asker, key, send, ConditionalWrite(if_equal, None))


async def _until_known(
    asker: Asker, key: str, send: Send, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    return await until_known(
        write,
        send,
        lambda: look(asker, key),
        lambda answer: _told(asker, key, answer, write),
        asker.retries,
        lambda answer: read_problem(answer).code == _ENDED,
    )


def _told(
    asker: Asker, key: str, answer: Response, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    """What an answer says that leaves no doubt."""
    if answer.status < 300:
        return _done(asker, key, answer, write)
    conditional = write.if_equal != UNKNOWN and read_problem(answer).code != _ENDED
    if not conditional or not _says_no(answer):
        raise asker.refused("DELETE" if write.mark is None else "PUT", key, answer)
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


def _done(
    asker: Asker, key: str, answer: Response, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    if write.mark is None:
        return TimestampedStorageGeneration(NO_VALUE, answer.time)
    return _stamp(asker, key, answer)


def _stamp(asker: Asker, key: str, answer: Response) -> TimestampedStorageGeneration:
    if answer.status >= 300:
        raise asker.refused("PUT", key, answer)
    return TimestampedStorageGeneration(generation_of(answer.headers), answer.time)
