"""Reading one blob: the request, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from asynctensor.errors import Aborted
from asynctensor.kvstores._http.begun_read import CountsReads
from asynctensor.kvstores._http.checksums import Checksum
from asynctensor.kvstores._http.etags import generation_of, read_conditions
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import MOST_VALUE, ObjectReader, Question
from asynctensor.kvstores._http.ranges import range_header, ranged_body
from asynctensor.kvstores._http.stored import Head, failing, head_of, missing, weight_of
from asynctensor.kvstores.azure.asking import AzureAsker
from asynctensor.kvstores.azure.errors import read_problem
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, TimestampedStorageGeneration
from asynctensor.storage.kvstore import ReadOptions, ReadResult, Told

#: What a conditional write says of itself, to be found again when its answer is lost. Names of
#: metadata are identifiers of C#: no hyphen.
MARK: Final = "x-ms-meta-asynctensorwrite"
#: Looks at a blob whose end is asked for while others replace it.
_MOST_LOOKS: Final = 16
#: What is said of a blob that is not there; anonymous readers are not told as much.
_ABSENT: Final = frozenset({"", "BlobNotFound", "ResourceNotFound"})


class AzureReader(ObjectReader[AzureAsker]):
    """Reads the blobs of one container."""

    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `ObjectReader.read`."""
        if options.byte_range.inclusive_min < 0 and self._question(options) is not None:
            return await self._read_end(key, options)
        return await super().read(key, options)

    def begin(
        self, store: CountsReads, key: str, options: ReadOptions, told: Told
    ) -> Callable[[], object] | None:
        """See `ObjectReader.begin`."""
        if options.byte_range.inclusive_min < 0:
            return None
        return super().begin(store, key, options, told)

    async def look(self, key: str) -> Head:
        """See `ObjectReader.look`."""
        answer = await self._asker.ask("HEAD", key)
        if self.is_missing(answer):
            return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
        if answer.status != 200:
            raise self._asker.refused("HEAD", key, answer)
        return head_of(answer, self.generation_of(answer), MARK)

    def is_missing(self, answer: Response) -> bool:
        """See `ObjectReader.is_missing`."""
        return answer.status == 404 and read_problem(answer).code in _ABSENT

    def generation_of(self, answer: Response) -> bytes:
        """See `ObjectReader.generation_of`."""
        return generation_of(answer.headers)

    def _question(self, options: ReadOptions) -> Question | None:
        wanted = options.byte_range
        conditions, part = read_conditions(options), range_header(wanted)
        if conditions is None or (part is None and not wanted.is_full):
            return None
        return Question(fields=conditions if part is None else (*conditions, ("x-ms-range", part)))

    def _checksum(self, answer: Response) -> Checksum | None:
        said = answer.headers.get("content-md5")
        return Checksum("MD5", said) if said else None

    def _is_plain(self, answer: Response) -> bool:
        # Azurite answers so for any part of an empty blob.
        return answer.status != 206 or answer.headers.get("content-range") != "bytes 0--1/0"

    async def _unusual(self, key: str, options: ReadOptions, answer: Response) -> ReadResult:
        return await self._past_the_end(key, options, answer)

    async def _read_end(self, key: str, options: ReadOptions) -> ReadResult:
        """Reads the last bytes, for which Azure has no range: looks how many there are first."""
        asker = self._asker
        for _ in range(_MOST_LOOKS):
            head = await self.look(key)
            if head.generation == NO_VALUE or failing(head.generation, options, head.time):
                return self._by_look(head, options)
            start, stop = options.byte_range.resolve(max(head.size, 0))
            exact = ByteRange(start, stop)
            fields = (("x-ms-range", range_header(exact) or ""),)
            answer = await asker.ask(
                "GET", key, fields=fields, weight=stop - start, max_body=MOST_VALUE
            )
            if self.is_missing(answer):
                gone = missing(options, answer.time)
                return ReadResult(gone.state, b"", gone.stamp)
            if answer.status not in (200, 206, 416):
                raise asker.refused("GET", key, answer)
            if answer.status == 416 or self.generation_of(answer) != head.generation:
                continue
            body, _ = ranged_body(answer, exact)
            stamp = TimestampedStorageGeneration(head.generation, answer.time)
            return ReadResult("value", bytes(body), stamp)
        raise Aborted(
            f"the blob was replaced {_MOST_LOOKS} times while its last "
            f"{weight_of(options.byte_range)} bytes were to be read; try again"
        )
