"""Writing and deleting one object, with or without a condition.

Source: "Uploads", "Request preconditions" in Google's documentation.
"""

from __future__ import annotations

import json
from typing import Any, Final

from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.leftovers import taken_back_at_exit
from asynctensor.kvstores._http.lost_answers import ConditionalWrite, new_mark
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import Question
from asynctensor.kvstores._http.object_writer import ObjectWriter
from asynctensor.kvstores.gcs.address import checked_key
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.kvstores.gcs.errors import parse_document
from asynctensor.kvstores.gcs.generation import generation_of, number_of
from asynctensor.kvstores.gcs.reading import MARK, GcsReader
from asynctensor.kvstores.gcs.resumable import ENDED, Upload, Uploads
from asynctensor.runtime.entropy import random_hex
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

#: What is asked of an object that was made.
_MADE: Final = ("fields", "generation")


class GcsWriter(ObjectWriter[GcsAsker]):
    """Writes the objects of one bucket.

    Args:
        asker: Who asks.
        reader: Looks at what is stored.
        uploads: How large objects are sent.
    """

    puts = "POST"

    def __init__(self, asker: GcsAsker, reader: GcsReader, uploads: Uploads) -> None:
        super().__init__(asker, reader)
        self.uploads = uploads

    async def write(self, key: str, value: Buffer, if_equal: bytes) -> TimestampedStorageGeneration:
        """See `ObjectWriter.write`."""
        body = memoryview(value).cast("B")
        query: list[tuple[str, str]] = [_MADE]
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
        large = len(body) > self.uploads.whole
        if large or if_equal != UNKNOWN:
            properties["metadata"] = {MARK: write.mark}
        if large:
            upload = Upload(self._asker, properties, query, body, self.uploads)
            return await self._resumable(key, upload, write)
        url = self._asker.upload_url((("uploadType", "multipart"), *query))
        kind, whole = _related(properties, body)

        async def send() -> Response:
            return await self._asker.ask(
                "POST",
                key,
                url=url,
                fields=(kind,),
                body=whole,
                weight=len(body),
                idempotent=if_equal == UNKNOWN,
            )

        if if_equal == UNKNOWN:
            return self._outcome(key, await send(), write)
        return await self._until_known(key, send, write)

    async def _resumable(
        self, key: str, upload: Upload, write: ConditionalWrite
    ) -> TimestampedStorageGeneration:
        done = False
        with taken_back_at_exit(upload.cancel_at_the_end):
            try:
                stamp = await self._until_known(key, upload.send, write)
                done = stamp.generation != UNKNOWN
            finally:
                if not done:
                    await upload.cancel()
        return stamp

    def _delete_condition(self, if_equal: bytes) -> Question | None:
        number = number_of(if_equal)
        return None if number is None else Question(query=(("ifGenerationMatch", number),))

    def _made(self, answer: Response) -> bytes:
        return generation_of(parse_document(answer.body).get("generation"))

    def _says_no(self, answer: Response) -> bool:
        return answer.status in (304, 412) or self._reader.is_missing(answer)

    def _is_over(self, write: ConditionalWrite, answer: Response) -> bool:
        return write.mark is not None and answer.status in ENDED


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
