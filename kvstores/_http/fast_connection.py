"""One connection that asks plain GETs, one after the other.

States::

    idle --(request)--> head --(head read)--> body --(body complete)--> idle
    any  --(lost, garbled, more than was said)--> closed

Small answers are read into a buffer that the connection keeps, and copied out once; the body of a
large one is read into its own memory.
"""

from __future__ import annotations

import asyncio
import time as clock
from time import monotonic
from typing import Final, cast

from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.response_head import ResponseHead, parse_head

#: Bytes of the buffer: a head and 64 KiB of a body fit in with room to spare, so that most chunks
#: come in one read.
_BUFFER: Final = 96 * 1024
#: Bytes of the longest head: as much as nginx takes in four of its large buffers.
_MAX_HEAD: Final = 32 * 1024
_END: Final = b"\r\n\r\n"


class Unexpected(Exception):
    """The answer is of no kind that is read here: ask somebody else."""


class FastConnection(asyncio.BufferedProtocol):
    """The connection.

    Attributes:
        idle_since: When the last answer was complete (monotonic).
        active_at: When the last bytes came, or the request was sent (monotonic).
        uses: Requests sent.
        closed: Whether it can be used no more.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_buffer",
        "_end",
        "_head",
        "_max_body",
        "_start",
        "_time",
        "_transport",
        "_view",
        "active_at",
        "closed",
        "idle_since",
        "uses",
    )

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0
        self._start = 0
        self._head: ResponseHead | None = None
        self._body: memoryview | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._max_body = 0
        self._time = 0.0
        self.active_at = self.idle_since = monotonic()
        self.uses = 0
        self.closed = False

    def request(self, message: bytes, max_body: int) -> asyncio.Future[Response]:
        """Sends a request; the connection must be idle.

        Returns:
            Future of the answer. It fails with `Unexpected`, `NoAnswer` or `ResourceExhausted`;
            where it fails or is cancelled, the connection is to be closed.
        """
        assert self._transport is not None
        answer = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._end = self._start = 0
        self._head = self._body = None
        self._max_body = max_body
        self._time = clock.time()
        self.active_at = monotonic()
        self.uses += 1
        self._transport.write(message)
        return answer

    @property
    def begun(self) -> bool:
        """Whether any byte of the current answer has come."""
        return self._end > 0

    @property
    def is_idle(self) -> bool:
        """Whether it waits for no answer."""
        return self._answer is None

    def close(self) -> None:
        """Closes it at once; whoever waits for an answer gets none."""
        self.closed = True
        self._fail(NoAnswer("the connection was closed"))
        if self._transport is not None:
            self._transport.abort()

    # -- what the loop calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._body is not None:
            return self._body[self._end - self._start :]
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is None or self._answer.done():
            # More than was said, or of an answer that nobody waits for: whose is the rest?
            self.close()
            return
        self._end += nbytes
        self.active_at = monotonic()
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        if self._end - self._start >= self._head.length:
            self._complete(self._head)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        answer, head = self._answer, self._head
        if answer is None or answer.done():
            return
        if head is not None and head.status >= 400:
            # The status says enough.
            self._finish(head, self._end - self._start)
            return
        if head is not None:
            came = f"{self._end - self._start} of {head.length} bytes"
        else:
            came = f"{self._end} bytes of the head" if self._end else "anything was answered"
        self._fail(NoAnswer(f"the connection was lost after {came}"))

    # -- steps --------------------------------------------------------------------------------

    def _read_head(self) -> bool:
        """Reads the head if it is complete; False if not, or if it is of no kind known here."""
        stop = self._buffer.find(_END, 0, min(self._end, _MAX_HEAD))
        if stop < 0:
            if self._end >= _MAX_HEAD:
                self._give_up(Unexpected())
            return False
        stop += len(_END)
        head = parse_head(bytes(self._view[:stop]))
        if head is None:
            self._give_up(Unexpected())
            return False
        if head.length > self._max_body:
            self._give_up(
                ResourceExhausted(
                    f"the answer has {head.length} bytes, more than the {self._max_body} expected"
                )
            )
            return False
        self._head, self._start = head, stop
        if head.length > _BUFFER - stop:
            # Only as much as the buffer held is copied.
            body = memoryview(bytearray(head.length))
            body[: self._end - stop] = self._view[stop : self._end]
            self._body = body
        return True

    def _complete(self, head: ResponseHead) -> None:
        over = self._end - self._start > head.length
        if over or not head.keeps:
            self.closed = True
        self.idle_since = self.active_at
        self._finish(head, head.length)
        if self.closed and self._transport is not None:
            self._transport.abort()

    def _finish(self, head: ResponseHead, size: int) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None
        body: bytes | memoryview
        if self._body is not None:
            body, self._body = self._body[:size], None
        else:
            body = bytes(self._view[self._start : self._start + size])
        # An idle connection has room: the loop asks for some even where nothing comes.
        self._end = 0
        answer.set_result(Response(head.status, head.headers, body, self._time))

    def _give_up(self, error: Exception) -> None:
        self._fail(error)
        self.close()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
