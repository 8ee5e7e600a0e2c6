"""Writing and deleting one object, with or without a condition.

A conditional write whose answer was lost is looked for (`lost_answers`).

Source: "Uploads", "Request preconditions" in Google's documentation.
"""

from __future__ import annotations

import json
from typing import Any, Final

from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.lost_answers import (
    ConditionalWrite,
    Send,
    new_mark,
    until_known,
)
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores.gcs.address import checked_key
from asynctensor.kvstores.gcs.asking import Asker
from asynctensor.kvstores.gcs.errors import is_missing, parse_document
from asynctensor.kvstores.gcs.generation import generation_of, number_of
from asynctensor.kvstores.gcs.reading import MARK, look
from asynctensor.kvstores.gcs.resumable import ENDED, Upload, Uploads
from asynctensor.runtime.entropy import random_hex
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

#: What is asked of an object that was made.
_MADE: Final = ("fields", "generation")


async def write_object(
    asker: Asker, uploads: Uploads, key: str, value: Buffer, if_equal: bytes
) -> TimestampedStorageGeneration:
    """Puts an object; see `KeyValueStore.write`."""
    body = memoryview(value).cast("B")
    query = [_MADE]
    if if_equal != UNKNOWN:
        number = number_of(if_equal)
        if number is None:
            return TimestampedStorageGeneration()
        query.append(("ifGenerationMatch", number))
    properties: dict[str, Any] = {
        "name": checked_key(key),
        "contentType": "application/octet-stream",
        "crc32c": await crc32c_of(body),
    }
    write = ConditionalWrite(if_equal, new_mark(number_of(if_equal)))
    large = len(body) > uploads.whole
    if large or if_equal != UNKNOWN:
        properties["metadata"] = {MARK: write.mark}
    asked = asker.asked(query)
    if large:
        return await _resumable(asker, key, Upload(asker, properties, asked, body, uploads), write)
    url = asker.address.upload_url((("uploadType", "multipart"), *asked))
    kind, whole = _related(properties, body)

    async def send() -> Response:
        return await asker.ask(
            "POST",
            url,
            fields=(kind,),
            body=whole,
            weight=len(body),
            idempotent=if_equal == UNKNOWN,
        )

    if if_equal == UNKNOWN:
        return _outcome(asker, key, await send(), write)
    return await _until_known(asker, key, send, write)


async def _resumable(
    asker: Asker, key: str, upload: Upload, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    done = False
    try:
        stamp = await _until_known(asker, key, upload.send, write)
        done = stamp.generation != UNKNOWN
    finally:
        if not done:
            await upload.cancel()
    return stamp


async def delete_object(asker: Asker, key: str, if_equal: bytes) -> TimestampedStorageGeneration:
    """Deletes an object; see `KeyValueStore.write`."""
    if if_equal == NO_VALUE:
        found = await look(asker, key)
        known = NO_VALUE if found.generation == NO_VALUE else UNKNOWN
        return TimestampedStorageGeneration(known, found.time)
    number = number_of(if_equal)
    if number is None and if_equal != UNKNOWN:
        return TimestampedStorageGeneration()
    condition = () if number is None else (("ifGenerationMatch", number),)
    url = asker.address.object_url(key, asker.asked(condition))
    if number is None:
        answer = await asker.ask("DELETE", url)
        if answer.status >= 300 and not is_missing(answer):
            raise asker.refused("DELETE", url, answer)
        return TimestampedStorageGeneration(NO_VALUE, answer.time)

    async def send() -> Response:
        return await asker.ask("DELETE", url, idempotent=False)

    return await _until_known(asker, key, send, ConditionalWrite(if_equal, None))


async def _until_known(
    asker: Asker, key: str, send: Send, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    return await until_known(
        write,
        send,
        lambda: look(asker, key),
        lambda answer: _outcome(asker, key, answer, write),
        asker.retries,
        lambda answer: write.mark is not None and answer.status in ENDED,
    )


def _outcome(
    asker: Asker, key: str, answer: Response, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    """What an answer says that leaves no doubt."""
    if answer.status < 300:
        if write.mark is None:
            return TimestampedStorageGeneration(NO_VALUE, answer.time)
        made = parse_document(answer.body)
        return TimestampedStorageGeneration(generation_of(made.get("generation")), answer.time)
    if write.if_equal != UNKNOWN and (answer.status in (304, 412) or is_missing(answer)):
        return TimestampedStorageGeneration(UNKNOWN, answer.time)
    method = "DELETE" if write.mark is None else "POST"
    raise asker.refused(method, asker.address.object_url(key), answer)


def _related(
    properties: dict[str, Any], body: memoryview
) -> tuple[tuple[str, str], tuple[Buffer, ...]]:
    """Properties and bytes as the two parts of one body (RFC 2387), with its content type."""
    mark = random_hex(16)
    head = (
        f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(properties)}\r\n--{mark}\r\n"
        f"Content-Type: {properties['contentType']}\r\n\r\n"
    ).encode()
    kind = ("Content-Type", f"multipart/related; boundary={mark}")
    return kind, (head, body, f"\r\n--{mark}--".encode())
