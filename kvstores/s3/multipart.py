"""Large objects in parts, sent beside each other and put together by one last request.

Source: "CreateMultipartUpload", "UploadPart" and "CompleteMultipartUpload" in AWS's reference of
the S3 API. Until the last request nothing is to be seen; what a failure leaves behind is aborted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from xml.sax.saxutils import escape

from asynctensor.errors import Error, FailedPrecondition
from asynctensor.kvstores._http.attempts import OutcomeUnknown
from asynctensor.kvstores._http.checksums import crc32c_of
from asynctensor.kvstores._http.errors import refusal
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.side_by_side import side_by_side
from asynctensor.kvstores._http.xml_document import parse_document
from asynctensor.kvstores.s3.address import Algorithm
from asynctensor.kvstores.s3.asking import S3Asker
from asynctensor.kvstores.s3.checksums import checksum_field, digests_of
from asynctensor.kvstores.s3.errors import read_problem
from asynctensor.runtime.seen_through import seen_through

#: Parts that an object may have.
_MOST_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Uploads:
    """How objects are sent.

    Attributes:
        checksum: Which checksum goes with each, for the service to check and to keep.
        whole: Bytes of the largest that is put in one request: below it, parts take longer, since
            they need two requests more.
        part: Bytes of a part, unless there would be more than 10,000 of them; S3 wants at least
            5 MiB. One that fails is sent again by itself.
        beside: Parts under way at once: enough to fill a line, few enough to be hashed in time.
    """

    whole: int = 64 << 20
    part: int = 16 << 20
    beside: int = 8
    checksum: Algorithm = "CRC32C"


class Upload:
    """One upload in parts.

    Args:
        asker: Where to.
        key: Of the object.
        body: The whole object.
        uploads: How it is sent.
    """

    def __init__(self, asker: S3Asker, key: str, body: memoryview, uploads: Uploads) -> None:
        self._asker, self._key, self._body, self._uploads = asker, key, body, uploads
        self._id = ""
        self._list = b""

    async def send(self, fields: Pairs) -> None:
        """Sends all parts.

        Args:
            fields: What is said of the object.
        """
        # What is to be aborted must have a name.
        await seen_through(self._begin(fields))
        size = max(self._uploads.part, math.ceil(len(self._body) / _MOST_PARTS))
        starts = range(0, len(self._body), size)
        turn = asyncio.Semaphore(self._uploads.beside)
        parts = [
            self._part(turn, number, self._body[start : start + size])
            for number, start in enumerate(starts, 1)
        ]
        self._list = _list_of(await side_by_side(parts), self._uploads.checksum)

    @property
    def _checksum_type(self) -> tuple[str, str]:
        # Of parts whose SHA-256 is known, that of the whole is not.
        is_whole = self._uploads.checksum == "CRC32C"
        return "x-amz-checksum-type", "FULL_OBJECT" if is_whole else "COMPOSITE"

    async def whole_checksum(self) -> Pairs:
        """What `complete` says of the whole object's checksum."""
        if self._uploads.checksum != "CRC32C":
            return (self._checksum_type,)
        return (("x-amz-checksum-crc32c", await crc32c_of(self._body)), self._checksum_type)

    async def _begin(self, fields: Pairs) -> None:
        kinds = (("x-amz-checksum-algorithm", self._uploads.checksum), self._checksum_type)
        answer = await self._asker.ask(
            "POST", self._key, query=(("uploads", ""),), fields=(*fields, *kinds)
        )
        if answer.status != 200:
            raise self._asker.refused("POST", self._key, answer)
        self._id = parse_document(answer.body).findtext("UploadId") or ""
        if not self._id:
            raise FailedPrecondition("the server began an upload in parts without naming it")

    async def _part(
        self, turn: asyncio.Semaphore, number: int, piece: memoryview
    ) -> tuple[str, str]:
        async with turn:
            asker, algorithm = self._asker, self._uploads.checksum
            digests = await digests_of(piece, algorithm, signed=asker.signs_bodies)
            answer = await asker.ask(
                "PUT",
                self._key,
                query=(("partNumber", str(number)), ("uploadId", self._id)),
                fields=((checksum_field(algorithm), digests.checksum),),
                common=asker.common_with(digests.payload),
                body=piece,
                weight=len(piece),
            )
        tag = answer.headers.get("etag", "")
        if answer.status != 200 or not tag:
            raise self._asker.refused("PUT", self._key, answer)
        return tag, digests.checksum

    async def complete(self, fields: Pairs) -> Response:
        """Puts the parts together: from then on the object is there.

        Args:
            fields: The condition, and the checksum of the whole.

        Raises:
            OutcomeUnknown: As `Exchange.send` does.
        """
        answer = await self._asker.ask(
            "POST",
            self._key,
            query=(("uploadId", self._id),),
            fields=(("Content-Type", "application/xml"), *fields),
            body=self._list,
            idempotent=False,
        )
        if answer.status != 200:
            return answer
        # It takes so long that the status is sent before the outcome is known.
        said = read_problem(answer)
        if said.code:
            failure = refusal(Request("POST", "http://s3/"), answer, said)
            raise OutcomeUnknown(
                f"the parts were not put together: {said.code} {said.message}"
            ) from failure
        tag = parse_document(answer.body).findtext("ETag")
        if not tag:
            # Ceph leaves it empty.
            raise OutcomeUnknown("the parts were put together, the server does not say as what")
        return replace(answer, headers=type(answer.headers)([("ETag", tag)]))

    async def abort(self) -> None:
        """Has the server forget the parts; where that fails, its own rules have to."""
        if self._id:
            with contextlib.suppress(Error):
                await self._asker.ask("DELETE", self._key, query=(("uploadId", self._id),))

    async def abort_at_the_end(self) -> None:
        """The same where the runtime is about to end, once; see `taken_back_at_exit`."""
        if self._id:
            await self._asker.take_back(self._key, query=(("uploadId", self._id),))


def _list_of(parts: Sequence[tuple[str, str]], algorithm: Algorithm) -> bytes:
    name = f"Checksum{algorithm}"
    items = [
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag>"
        f"<{name}>{checksum}</{name}></Part>"
        for number, (tag, checksum) in enumerate(parts, 1)
    ]
    return (
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{''.join(items)}</CompleteMultipartUpload>"
    ).encode()
