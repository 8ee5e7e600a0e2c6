"""Large objects, sent piece by piece to an upload that survives lost connections.

Until the last piece nothing is to be seen. When the answer to a piece is lost, the server is asked
how far it has come, and the rest is sent from there; what fails for good is cancelled.

Source: "Resumable uploads" in Google's documentation::

    POST upload?uploadType=resumable      200, Location: the URL of the upload
    PUT  Content-Range: bytes 0-9/30      308, Range: bytes=0-9     ; so far, less than sent perhaps
    PUT  Content-Range: bytes */30        308, or the object where it is done
    DELETE                                499
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asynctensor.errors import Error, FailedPrecondition, Unavailable
from asynctensor.kvstores._http.attempts import OutcomeUnknown
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.redirects import origin
from asynctensor.kvstores.gcs.asking import GcsAsker
from asynctensor.runtime.entropy import uniform
from asynctensor.runtime.seen_through import seen_through

#: Pieces, but for the last, have multiples of so many bytes.
BLOCK: Final = 256 * 1024
_REACHED: Final = re.compile(r"bytes=0-(\d{1,18})", re.ASCII)
#: What is said of uploads that are over, one way or the other.
ENDED: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Uploads:
    """How large objects are sent.

    Attributes:
        whole: Bytes of the largest that is sent in one request: below it, an upload takes longer,
            since it needs a request more.
        piece: Bytes of a piece, a multiple of `BLOCK`: large against a round trip, small enough
            that other requests have their turn.
    """

    whole: int = 16 << 20
    piece: int = 32 << 20


class Upload:
    """One upload.

    Args:
        asker: Where to.
        properties: Of the object, its name among them.
        query: The condition, and what is asked of the answer.
        body: The whole object.
        uploads: How it is sent.
    """

    def __init__(
        self,
        asker: GcsAsker,
        properties: Mapping[str, Any],
        query: Pairs,
        body: memoryview,
        uploads: Uploads,
    ) -> None:
        self._asker, self._properties, self._body = asker, properties, body
        self._piece = uploads.piece
        self._begin_url = asker.upload_url((("uploadType", "resumable"), *query))
        self._url = ""
        #: Where the server is; None: it is to be asked.
        self._at: int | None = 0
        #: Whether the last piece has been sent, so that the object may be there.
        self._ended = False
        self._failures, self._delay = 0, 0.0

    async def send(self) -> Response:
        """Sends what the server has not yet; called again, goes on from where it is.

        Returns:
            The object, or that a condition does not hold, or why it cannot be.

        Raises:
            OutcomeUnknown: Whether the object was made is not known.
            Unavailable: It was not.
        """
        while True:
            if not self._url and (refused := await self._begin()) is not None:
                return refused
            before = self._at
            try:
                answer = await (self._ask() if before is None else self._put(before))
            except OutcomeUnknown as error:
                self._at = None
                await self._pause(error)
                continue
            if answer.status == 308:
                self._at = _reached(answer, len(self._body))
                if before is not None and self._at > before:
                    self._failures = 0
                elif before is not None or self._at == len(self._body):
                    self._at = None
                    await self._pause(OutcomeUnknown("the server takes no more of an upload"))
            elif answer.status in ENDED and not self._ended:
                # It was forgotten: from the beginning.
                self._url, self._at = "", 0
                await self._pause(Unavailable("the server has forgotten an upload"))
            else:
                return answer

    async def _begin(self) -> Response | None:
        """Names the upload; gives the answer where it may not be."""
        # What is to be cancelled must have a name.
        answer = await seen_through(self._begun())
        return None if self._url else answer

    async def _begun(self) -> Response:
        answer = await self._asker.ask(
            "POST",
            None,
            url=self._begin_url,
            fields=(
                ("Content-Type", "application/json; charset=UTF-8"),
                ("X-Upload-Content-Length", str(len(self._body))),
            ),
            body=json.dumps(self._properties).encode(),
        )
        if answer.status == 200:
            place = answer.headers.get("location", "")
            # Its URL is as good as a token, and the object goes there.
            if not place.startswith("http") or origin(place) != origin(self._begin_url):
                raise FailedPrecondition(
                    "the server names no place of its own to send a large object to"
                )
            self._url = place
        return answer

    async def _put(self, start: int) -> Response:
        stop = min(start + self._piece, len(self._body))
        self._ended = self._ended or stop == len(self._body)
        span = f"bytes {start}-{stop - 1}/{len(self._body)}"
        return await self._asker.ask(
            "PUT",
            None,
            url=self._url,
            fields=(("Content-Range", span),),
            body=self._body[start:stop],
            idempotent=False,
            weight=stop - start,
        )

    async def _ask(self) -> Response:
        """How far it has come; where the server has all of it, it may be made by this."""
        span = f"bytes */{len(self._body)}"
        return await self._asker.ask(
            "PUT", None, url=self._url, fields=(("Content-Range", span),), body=b""
        )

    async def _pause(self, error: Unavailable) -> None:
        self._failures += 1
        after = self._asker.retries.delay(self._failures, self._delay, None, float("inf"), uniform)
        if after is None:
            raise error if self._ended else (error.__cause__ or error)
        self._delay = after
        await asyncio.sleep(after)

    async def cancel(self) -> None:
        """Has the server forget it; where that fails, it does so after a week by itself."""
        if self._url:
            with contextlib.suppress(Error):
                await self._asker.ask("DELETE", None, url=self._url)

    async def cancel_at_the_end(self) -> None:
        """The same where the runtime is about to end, once; see `taken_back_at_exit`."""
        if self._url:
            await self._asker.take_back(None, url=self._url)


def _reached(answer: Response, size: int) -> int:
    """How many bytes the server has, from the first on."""
    text = answer.headers.get("range")
    if text is None:
        return 0
    found = _REACHED.fullmatch(text)
    if found is None or int(found[1]) >= size:
        raise FailedPrecondition("the server does not say how far an upload has come")
    return int(found[1]) + 1
