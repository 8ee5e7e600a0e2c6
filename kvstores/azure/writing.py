"""Writing and deleting one blob, with or without a condition.

Not only of conditional writes it is looked for what became of them when an answer was lost, but of
every write in blocks: its last request cannot be repeated once the blocks are part of a blob, or
gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores._http.checksums import md5_of
from asynctensor.kvstores._http.etags import etag_of, generation_of, write_condition
from asynctensor.kvstores._http.lost_answers import ConditionalWrite, new_mark
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import MOST_VALUE, Question
from asynctensor.kvstores._http.object_writer import ObjectWriter
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.blocks import (
    OtherBlocks,
    Uploads,
    commit_blocks,
    send_blocks,
)
from asynctensor.kvstores.azure.errors import read_problem
from asynctensor.kvstores.azure.reading import MARK, AzureReader
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


class AzureWriter(ObjectWriter[AzureAsker]):
    """Writes the blobs of one container.

    Args:
        asker: Who asks.
        reader: Looks at what is stored.
        uploads: How large blobs are sent.
    """

    def __init__(self, asker: AzureAsker, reader: AzureReader, uploads: Uploads) -> None:
        super().__init__(asker, reader)
        self.uploads = uploads

    async def write(self, key: str, value: Buffer, if_equal: bytes) -> TimestampedStorageGeneration:
        """See `ObjectWriter.write`."""
        body = memoryview(value).cast("B")
        condition: Pairs = ()
        if if_equal != UNKNOWN:
            found = write_condition(if_equal)
            if found is None:
                return TimestampedStorageGeneration()
            condition = (found,)
        if len(body) > self.uploads.whole:
            try:
                return await self._in_blocks(key, body, condition, if_equal)
            except OtherBlocks:
                if len(body) > MOST_VALUE:
                    raise ResourceExhausted(
                        f"{len(body)} bytes are too many for one request, and somebody else has "
                        "begun to send this blob in blocks that are named in another way; Azure "
                        "drops those after a week"
                    ) from None
                # What is put in one request does away with them.
        stamp = await self._whole(key, body, condition, if_equal)
        if if_equal != NO_VALUE or stamp.generation != UNKNOWN:
            return stamp
        # Azurite takes blocks that never became a blob for one, unless it is asked to make them
        # one.
        if (await self._reader.look(key)).generation != NO_VALUE:
            return stamp
        try:
            return await self._in_blocks(key, body, condition, if_equal)
        except OtherBlocks:
            return stamp

    async def _whole(
        self, key: str, body: memoryview, condition: Pairs, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        write = ConditionalWrite(if_equal, new_mark(etag_of(if_equal, quoted=False)))
        fields = [
            ("Content-Type", "application/octet-stream"),
            ("Content-MD5", await md5_of(body)),
            ("x-ms-blob-type", "BlockBlob"),
        ]
        if condition:
            fields += [*condition, (MARK, write.mark or "")]

        async def send() -> Response:
            return await self._asker.ask(
                "PUT",
                key,
                fields=fields,
                body=body,
                weight=len(body),
                idempotent=not condition,
            )

        if not condition:
            return self._outcome(key, await send(), write)
        return await self._until_known(key, send, write)

    async def _in_blocks(
        self, key: str, body: memoryview, condition: Pairs, if_equal: bytes
    ) -> TimestampedStorageGeneration:
        asker, attempt = self._asker, 0
        whole = await md5_of(body)
        while True:
            attempt += 1
            names = await send_blocks(asker, key, body, self.uploads)
            write = ConditionalWrite(if_equal, new_mark(etag_of(if_equal, quoted=False)))
            fields = (("x-ms-blob-content-md5", whole), *condition, (MARK, write.mark or ""))

            async def send(names: Sequence[str] = names, fields: Pairs = fields) -> Response:
                return await commit_blocks(asker, key, names, fields)

            try:
                return await self._until_known(key, send, write)
            except BlocksGone as gone:
                # Others write the blob all the time: whoever compares has lost, others try again.
                head = await self._reader.look(key)
                if if_equal not in (UNKNOWN, head.generation):
                    return TimestampedStorageGeneration(UNKNOWN, head.time)
                after = asker.retries.delay(attempt, 0.0, None, float("inf"), uniform)
                if after is None:
                    raise asker.refused("PUT", key, gone.args[0]) from None
                await asyncio.sleep(after)

    def _outcome(
        self, key: str, answer: Response, write: ConditionalWrite
    ) -> TimestampedStorageGeneration:
        if answer.status >= 300 and self._is_over(write, answer):
            raise BlocksGone(answer)
        return super()._outcome(key, answer, write)

    def _delete_condition(self, if_equal: bytes) -> Question | None:
        condition = write_condition(if_equal)
        return None if condition is None else Question(fields=(condition,))

    def _made(self, answer: Response) -> bytes:
        return generation_of(answer.headers)

    def _says_no(self, answer: Response) -> bool:
        code = read_problem(answer).code
        if code in _UNMET or self._reader.is_missing(answer):
            return True
        return answer.status == 412 and not code

    def _is_over(self, write: ConditionalWrite, answer: Response) -> bool:
        return read_problem(answer).code in _GONE
