"""Writing and deleting one object, with or without a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asynctensor.errors import Unimplemented
from asynctensor.kvstores._http.etags import etag_of, generation_of, write_condition
from asynctensor.kvstores._http.leftovers import taken_back_at_exit
from asynctensor.kvstores._http.lost_answers import ConditionalWrite, new_mark
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import Question
from asynctensor.kvstores._http.object_writer import ObjectWriter
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.checksums import checksum_field, digests_of
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.kvstores.s3.multipart import Upload, Uploads
from asynctensor.kvstores.s3.reading import MARK, S3Reader
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
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


class S3Writer(ObjectWriter[S3Asker]):
    """Writes the objects of one bucket.

    Args:
        asker: Who asks.
        reader: Looks at what is stored.
        conditions: Which conditions the server checks.
        uploads: How objects are sent.
    """

    def __init__(
        self, asker: S3Asker, reader: S3Reader, conditions: Conditions, uploads: Uploads
    ) -> None:
        super().__init__(asker, reader)
        self.conditions = conditions
        self.uploads = uploads

    async def write(self, key: str, value: Buffer, if_equal: bytes) -> TimestampedStorageGeneration:
        """See `ObjectWriter.write`."""
        body = memoryview(value).cast("B")
        condition = None
        if if_equal != UNKNOWN:
            condition = self._condition(if_equal)
            if condition is None:
                return TimestampedStorageGeneration()
        large = len(body) > self.uploads.whole
        # Nobody looks for what may simply be written once more.
        marked = large or condition is not None
        mark = new_mark(etag_of(if_equal, quoted=False)) if marked else ""
        write = ConditionalWrite(if_equal, mark)
        fields = [("Content-Type", "application/octet-stream")]
        if large and (condition is None or self.conditions.parts):
            upload = Upload(self._asker, key, body, self.uploads)
            end = [*await upload.whole_checksum()]
            end += [condition] if condition is not None else []
            return await self._in_parts(key, upload, [*fields, (MARK, mark)], end, write)
        asker, algorithm = self._asker, self.uploads.checksum
        digests = await digests_of(body, algorithm, signed=asker.signs_bodies)
        common = asker.common_with(digests.payload)
        fields.append((checksum_field(algorithm), digests.checksum))
        if condition is not None:
            fields += [condition, (MARK, mark)]

        async def send() -> Response:
            return await asker.ask(
                "PUT",
                key,
                fields=fields,
                common=common,
                body=body,
                weight=len(body),
                idempotent=condition is None,
            )

        if condition is None:
            return self._outcome(key, await send(), write)
        return await self._until_known(key, send, write)

    async def _in_parts(
        self, key: str, upload: Upload, fields: Pairs, end: Pairs, write: ConditionalWrite
    ) -> TimestampedStorageGeneration:
        done = False
        with taken_back_at_exit(upload.abort_at_the_end):
            try:
                await upload.send(fields)
                stamp = await self._until_known(key, lambda: upload.complete(end), write)
                done = stamp.generation != UNKNOWN
            finally:
                if not done:
                    await upload.abort()
        return stamp

    async def delete(self, key: str, if_equal: bytes) -> TimestampedStorageGeneration:
        """See `ObjectWriter.delete`."""
        if if_equal != UNKNOWN:
            self._condition(if_equal)
        return await super().delete(key, if_equal)

    def _delete_condition(self, if_equal: bytes) -> Question | None:
        if not self.conditions.deletes:
            raise Unimplemented(
                "this store deletes without conditions only (conditional_delete is false)"
            )
        condition = self._condition(if_equal)
        return None if condition is None else Question(fields=(condition,))

    def _condition(self, if_equal: bytes) -> tuple[str, str] | None:
        if not self.conditions.writes:
            raise Unimplemented(
                "this store writes without conditions only (use_conditional_write is false)"
            )
        return self.conditions.header(if_equal)

    def _made(self, answer: Response) -> bytes:
        return generation_of(answer.headers)

    def _says_no(self, answer: Response) -> bool:
        if read_problem(answer).code == _ENDED:
            return False
        return answer.status == 412 or self._reader.is_missing(answer)

    def _is_over(self, write: ConditionalWrite, answer: Response) -> bool:
        return read_problem(answer).code == _ENDED
