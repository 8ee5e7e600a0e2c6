"""Writing and deleting one blob, with or without a condition.

A conditional write whose answer was lost is looked for (`lost_answers`). So is every write in
blocks: its last request cannot be repeated once the blocks are part of a blob, or gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores._http.checksums import md5_of
from asynctensor.kvstores._http.etags import etag_of, generation_of, write_condition
from asynctensor.kvstores._http.lost_answers import (
    ConditionalWrite,
    Send,
    new_mark,
    until_known,
)
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.azure.asking import Asker
from asynctensor.kvstores.azure.blocks import (
    OtherBlocks,
    Uploads,
    commit_blocks,
    send_blocks,
)
from asynctensor.kvstores.azure.errors import read_problem
from asynctensor.kvstores.azure.reading import MARK, MOST_VALUE, is_missing, look
from asynctensor.runtime.entropy import uniform
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

#: What is said where a condition does not hold. Other reasons have these statuses, too: a lease
#: (412), a policy or another kind of blob (409).
_UNMET: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
#: What is said of blocks that are gone: somebody else has written the blob since they were sent.
_GONE: Final = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})


class BlocksGone(Exception):
    """The blocks of a blob are gone, and nothing was written."""


async def write_object(
    asker: Asker, uploads: Uploads, key: str, value: Buffer, if_equal: bytes
) -> TimestampedStorageGeneration:
    """Puts a blob; see `KeyValueStore.write`."""
    body = memoryview(value).cast("B")
    condition: Pairs = ()
    if if_equal != UNKNOWN:
        found = write_condition(if_equal)
        if found is None:
            return TimestampedStorageGeneration()
        condition = (found,)
    if len(body) > uploads.whole:
        try:
            return await _in_blocks(asker, uploads, key, body, condition, if_equal)
        except OtherBlocks:
            if len(body) > MOST_VALUE:
                raise ResourceExhausted(
                    f"{len(body)} bytes are too many for one request, and somebody else has begun "
                    "to send this blob in blocks that are named in another way; Azure drops those "
                    "after a week"
                ) from None
            # What is put in one request does away with them.
    stamp = await _whole(asker, key, body, condition, if_equal)
    if if_equal != NO_VALUE or stamp.generation != UNKNOWN:
        return stamp
    # Azurite takes blocks that never became a blob for one, unless it is asked to make them one.
    if (await look(asker, key)).generation != NO_VALUE:
        return stamp
    try:
        return await _in_blocks(asker, uploads, key, body, condition, if_equal)
    except OtherBlocks:
        return stamp


async def _whole(
    asker: Asker, key: str, body: memoryview, condition: Pairs, if_equal: bytes
) -> TimestampedStorageGeneration:
    fields = [
        ("Content-Type", "application/octet-stream"),
        ("Content-MD5", await md5_of(body)),
        ("x-ms-blob-type", "BlockBlob"),
    ]
    weight = len(body)
    if not condition:
        answer = await asker.ask("PUT", key, fields=fields, body=body, weight=weight)
        return _stamp(asker, key, answer)
    write = ConditionalWrite(if_equal, new_mark(etag_of(if_equal, quoted=False)))
    fields += [*condition, (MARK, write.mark or "")]

    async def send() -> Response:
        return await asker.ask(
            "PUT", key, fields=fields, body=body, weight=weight, idempotent=False
        )

    return await _until_known(asker, key, send, write)


async def _in_blocks(
    asker: Asker,
    uploads: Uploads,
    key: str,
    body: memoryview,
    condition: Pairs,
    if_equal: bytes,
) -> TimestampedStorageGeneration:
    attempt = 0
    whole = await md5_of(body)
    while True:
        attempt += 1
        names = await send_blocks(asker, key, body, uploads)
        write = ConditionalWrite(if_equal, new_mark(etag_of(if_equal, quoted=False)))
        fields = (("x-ms-blob-content-md5", whole), *condition, (MARK, write.mark or ""))

        async def send(names: Sequence[str] = names, fields: Pairs = fields) -> Response:
            return await commit_blocks(asker, key, names, fields)

        try:
            return await _until_known(asker, key, send, write)
        except BlocksGone as gone:
            # Others write the blob all the time: whoever compares has lost, others try again.
            head = await look(asker, key)
            if if_equal not in (UNKNOWN, head.generation):
                return TimestampedStorageGeneration(UNKNOWN, head.time)
            after = asker.retries.delay(attempt, 0.0, None, float("inf"), uniform)
            if after is None:
                raise asker.refused("PUT", key, gone.args[0]) from None
            await asyncio.sleep(after)


async def delete_object(asker: Asker, key: str, if_equal: bytes) -> TimestampedStorageGeneration:
    """Deletes a blob; see `KeyValueStore.write`."""
    if if_equal == UNKNOWN:
        answer = await asker.ask("DELETE", key)
        if answer.status >= 300 and not is_missing(answer):
            raise asker.refused("DELETE", key, answer)
        return TimestampedStorageGeneration(NO_VALUE, answer.time)
    if if_equal == NO_VALUE:
        found = await look(asker, key)
        known = NO_VALUE if found.generation == NO_VALUE else UNKNOWN
        return TimestampedStorageGeneration(known, found.time)
    condition = write_condition(if_equal)
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
        lambda answer: read_problem(answer).code in _GONE,
    )


def _told(
    asker: Asker, key: str, answer: Response, write: ConditionalWrite
) -> TimestampedStorageGeneration:
    """What an answer says that leaves no doubt."""
    if answer.status < 300 and write.mark is None:
        return TimestampedStorageGeneration(NO_VALUE, answer.time)
    if answer.status < 300:
        return _stamp(asker, key, answer)
    code = read_problem(answer).code
    if code in _GONE:
        raise BlocksGone(answer)
    if write.if_equal == UNKNOWN or not _says_no(answer, code):
        raise asker.refused("DELETE" if write.mark is None else "PUT", key, answer)
    return TimestampedStorageGeneration(UNKNOWN, answer.time)


def _says_no(answer: Response, code: str) -> bool:
    """Whether an answer says that the condition does not hold."""
    return code in _UNMET or is_missing(answer) or (answer.status == 412 and not code)


def _stamp(asker: Asker, key: str, answer: Response) -> TimestampedStorageGeneration:
    if answer.status >= 300:
        raise asker.refused("PUT", key, answer)
    return TimestampedStorageGeneration(generation_of(answer.headers), answer.time)
