"""Reading one object: the request, and what its answer means."""

from __future__ import annotations

from typing import Final, Literal

from asynctensor.kvstores._http.checksums import Checksum
from asynctensor.kvstores._http.etags import generation_of, read_conditions
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import ObjectReader, Question
from asynctensor.kvstores._http.ranges import range_header
from asynctensor.kvstores._http.stored import Head, head_of
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import ReadOptions

#: What a conditional write says of itself, to be found again when its answer is lost.
MARK: Final = "x-amz-meta-asynctensor-write"

#: What says which checksum, the quickest first: an object has the one that it was put with.
_CHECKSUMS: Final[tuple[tuple[str, Literal["CRC-32C", "CRC-32", "SHA-256"]], ...]] = (
    ("x-amz-checksum-crc32c", "CRC-32C"),
    ("x-amz-checksum-crc32", "CRC-32"),
    ("x-amz-checksum-sha256", "SHA-256"),
)


class S3Reader(ObjectReader[S3Asker]):
    """Reads the objects of one bucket."""

    async def look(self, key: str) -> Head:
        """See `ObjectReader.look`."""
        answer = await self._asker.ask("HEAD", key)
        if answer.status == 404:
            return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
        if answer.status != 200:
            raise self._asker.refused("HEAD", key, answer)
        return head_of(answer, self.generation_of(answer), MARK)

    def is_missing(self, answer: Response) -> bool:
        """See `ObjectReader.is_missing`."""
        return answer.status == 404 and read_problem(answer).code != "NoSuchBucket"

    def generation_of(self, answer: Response) -> bytes:
        """See `ObjectReader.generation_of`."""
        return generation_of(answer.headers)

    def _question(self, options: ReadOptions) -> Question | None:
        wanted = options.byte_range
        conditions, part = read_conditions(options), range_header(wanted)
        if conditions is None or (part is None and not wanted.is_full):
            return None
        # Of a part there is no checksum.
        last = ("Range", part) if part is not None else ("x-amz-checksum-mode", "ENABLED")
        return Question(fields=(*conditions, last))

    def _checksum(self, answer: Response) -> Checksum | None:
        # Of an object in parts, whose ETag ends in their number, it may be that of their checksums,
        # also where the server calls it that of the whole (moto does).
        if "-" in answer.headers.get("etag", ""):
            return None
        for field, kind in _CHECKSUMS:
            said = answer.headers.get(field)
            if said and "-" not in said:
                return Checksum(kind, said)
        return None
