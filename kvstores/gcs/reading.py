"""Reading one object: the request, and what its answer means.

An object that is stored with the content coding gzip is asked for as it is stored, so that its
checksum says something, and unpacked here: its value is what was packed. Of such an object a range
is cut from the whole, because those that the server gives are ranges of the packed bytes.

Source: "Objects: get", "Transcoding of gzip-compressed files" in Google's documentation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asynctensor.kvstores._http.checksums import Checksum
from asynctensor.kvstores._http.encodings import codings, decoded_body
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import MOST_VALUE, ObjectReader, Question
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.ranges import range_header
from asynctensor.kvstores._http.stored import Head, age_of, length_of, moment_of
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.kvstores.gcs.errors import is_missing, parse_document
from asynctensor.kvstores.gcs.generation import generation_of, number_of
from asynctensor.storage.byte_range import FULL
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions, ReadResult

#: What a conditional write says of itself, to be found again when its answer is lost.
MARK: Final = "asynctensor-write"
_LOOKED_AT: Final = (("fields", "contentEncoding,generation,metadata,size,timeCreated"),)
_MEDIA: Final = ("alt", "media")
_PACKED: Final = ("Accept-Encoding", "gzip")


class GcsReader(ObjectReader[GcsAsker]):
    """Reads the objects of one bucket."""

    async def look(self, key: str) -> Head:
        """See `ObjectReader.look`; of packed values the size is not known."""
        answer = await self._asker.ask("GET", key, query=_LOOKED_AT)
        if self.is_missing(answer):
            return Head(NO_VALUE, -1, "", None, 0.0, answer.time)
        if answer.status != 200:
            raise self._asker.refused("GET", key, answer)
        found = parse_document(answer.body)
        metadata, written = found.get("metadata"), moment_of(found.get("timeCreated"))
        mark = str(metadata.get(MARK, "")) if isinstance(metadata, dict) else ""
        generation, age = generation_of(found.get("generation")), age_of(answer.headers, written)
        return Head(generation, size_of(found), mark, written, age, answer.time)

    def is_missing(self, answer: Response) -> bool:
        """See `ObjectReader.is_missing`."""
        return is_missing(answer)

    def generation_of(self, answer: Response) -> bytes:
        """See `ObjectReader.generation_of`."""
        return generation_of(answer.headers.get("x-goog-generation"))

    def _question(self, options: ReadOptions) -> Question | None:
        wanted = options.byte_range
        conditions, part = _conditions(options), range_header(wanted)
        if conditions is None or (part is None and not wanted.is_full):
            return None
        fields = (_PACKED,) if part is None else (_PACKED, ("Range", part))
        return Question((_MEDIA, *conditions), fields)

    def _checksum(self, answer: Response) -> Checksum | None:
        # Packed there and unpacked on the way: the checksum is of bytes that did not come.
        is_stored = bool(codings(answer)) is _is_packed(answer)
        return _crc32c_in(answer) if is_stored else None

    async def _looked(self, key: str, options: ReadOptions) -> ReadResult:
        head = await self.look(key)
        hidden = head.size < 0 and head.generation != NO_VALUE and _conditions(options) is not None
        return await self._part_of_whole(key, options) if hidden else self._by_look(head, options)

    async def _past_the_end(self, key: str, options: ReadOptions, answer: Response) -> ReadResult:
        # The size that it says may be that of packed bytes.
        return await self._looked(key, options)

    # -- Packed objects -----------------------------------------------------------------------

    def _is_plain(self, answer: Response) -> bool:
        return not codings(answer)

    async def _unusual(self, key: str, options: ReadOptions, answer: Response) -> ReadResult:
        if answer.status == 206:
            return await self._part_of_whole(key, options)
        checksum = self._checksum(answer)
        if checksum is not None:
            await checksum.check(answer.body)
        plain = replace(answer, body=await decoded_body(answer, MOST_VALUE))
        said = None if _is_packed(answer) else _crc32c_in(answer)
        if said is not None:
            # It was packed on the way.
            await said.check(plain.body)
        arrival = self._arrived(plain, options)
        if arrival is None:
            raise self._asker.refused("GET", key, answer)
        return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)

    async def _part_of_whole(self, key: str, options: ReadOptions) -> ReadResult:
        """A range of an object of which the server gives no useful ranges."""
        found = await self.read(key, replace(options, byte_range=FULL))
        if found.state != "value":
            return found
        start, stop = options.byte_range.resolve(len(found.value))
        return replace(found, value=found.value[start:stop])


def size_of(found: dict[str, object]) -> int:
    """The size of a value, by the properties of its object; -1 where that is packed."""
    return -1 if found.get("contentEncoding") else length_of(str(found.get("size", "")))


def _conditions(options: ReadOptions) -> Pairs | None:
    """The conditions of a read as a query; None: only whether there is an object is of interest."""
    found: list[tuple[str, str]] = []
    if options.if_equal != UNKNOWN:
        number = number_of(options.if_equal)
        if number is None or number == "0":
            return None
        found.append(("ifGenerationMatch", number))
    if options.if_not_equal not in (UNKNOWN, NO_VALUE):
        number = number_of(options.if_not_equal)
        if number is not None:
            found.append(("ifGenerationNotMatch", number))
    return found


def _is_packed(answer: Response) -> bool:
    """Whether an object is stored packed, by an answer with its bytes."""
    stored = answer.headers.get("x-goog-stored-content-encoding")
    return bool(codings(answer)) if stored is None else stored not in ("", "identity")


def _crc32c_in(answer: Response) -> Checksum | None:
    """The checksum in ``x-goog-hash``: ``crc32c=...,md5=...``."""
    for each in answer.headers.get("x-goog-hash", "").split(","):
        name, _, value = each.strip().partition("=")
        if name == "crc32c":
            return Checksum("CRC-32C", value)
    return None
