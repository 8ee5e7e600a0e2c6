"""One connection that sends requests, one after the other.

States::

    idle --(request)--> head --(head read)--> body --(body complete)--> idle
    any  --(lost, garbled, more than was said)--> closed

What comes with a head is read into a slot (`read_slots`), in which it is handed out where it is all
of the body; the rest of a longer body is read into its own memory. What is sent goes out as it is,
large bodies a piece at a time.
"""

from __future__ import annotations

import asyncio
import time as clock
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeAlias, cast

from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores._http.chunked_body import ChunkedBody, NotChunked
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.message import Body, Response
from asynctensor.kvstores._http.read_slots import ReadSlots
from asynctensor.kvstores._http.response_head import ResponseHead, parse_head
from asynctensor.runtime.reused_memory import BODIES, reused_memory

#: Bytes of the shortest body that is handed out in its slot: who keeps it keeps the slot.
_LEAST_IN_SLOT: Final = 4096
#: Bytes of the longest head: as much as nginx takes in four of its large buffers.
_MAX_HEAD: Final = 32 * 1024
_END: Final = b"\r\n\r\n"
#: How a record of TLS begins by which a server refuses what is no TLS (RFC 8446, section 5.1).
_TLS_ALERT: Final = b"\x15\x03"
#: Bytes handed to a socket at once: large enough to be cheap, small enough that with TLS others of
#: the loop have their turn meanwhile.
_PIECE: Final = 256 * 1024


class Unexpected(Exception):
    """The answer is of no kind that is read here: ask somebody else."""


#: What is told how a request ended: the answer, or `Unexpected`, `NoAnswer`, `ResourceExhausted`.
Answered: TypeAlias = "Callable[[Response | Exception], object]"


class FastConnection(asyncio.BufferedProtocol):
    """The connection.

    Args:
        slots: What answers are read into. Connections of one loop may share them where the loop
            reads only when something has come: they leave nothing there.

    Attributes:
        idle_since: When the last answer was complete (monotonic).
        active_at: When the last bytes came, or the request was sent (monotonic).
        begun: Whether any byte of the current answer has come.
        uses: Requests sent.
        closed: Whether it can be used no more.
    """

    __slots__ = (
        "_answered",
        "_body",
        "_came",
        "_chunked",
        "_head",
        "_is_look",
        "_is_paused",
        "_kept",
        "_max_body",
        "_slots",
        "_time",
        "_transport",
        "_unsent",
        "active_at",
        "begun",
        "closed",
        "idle_since",
        "uses",
    )

    def __init__(self, slots: ReadSlots | None = None) -> None:
        self._transport: asyncio.Transport | None = None
        self._slots = ReadSlots() if slots is None else slots
        #: What came of a head that is not complete.
        self._kept = b""
        self._head: ResponseHead | None = None
        #: One byte longer than the body: what follows it is noticed.
        self._body: memoryview | None = None
        self._came = 0
        #: A body that comes in chunks.
        self._chunked: ChunkedBody | None = None
        #: Pieces of the request that wait until the socket takes more.
        self._unsent: deque[memoryview] = deque()
        self._is_paused = self._is_look = False
        self._answered: Answered | None = None
        self._max_body = 0
        self._time = 0.0
        self.active_at = self.idle_since = monotonic()
        self.begun = False
        self.uses = 0
        self.closed = False

    def request(
        self, message: bytes, max_body: int, body: Body | None = None, *, is_look: bool = False
    ) -> asyncio.Future[Response]:
        """Sends a request; see `ask`.

        Returns:
            Future of the answer. It fails with `Unexpected`, `NoAnswer` or `ResourceExhausted`;
            where it fails or is cancelled, the connection is to be closed.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def answered(found: Response | Exception) -> None:
            if answer.done():
                return
            if isinstance(found, Response):
                answer.set_result(found)
            else:
                answer.set_exception(found)

        self.ask(message, max_body, answered, body, is_look=is_look)
        return answer

    def ask(
        self,
        message: bytes,
        max_body: int,
        answered: Answered,
        body: Body | None = None,
        *,
        is_look: bool = False,
    ) -> None:
        """Sends a request; the connection must be idle.

        Args:
            message: The request, up to its body.
            max_body: An answer with a longer body is an error.
            answered: Called once; where it is given no answer, the connection is closed. It is not
                called any more once `forget` was.
            body: Its body, which must not be changed before it is answered.
            is_look: Whether the answer is a head alone (``HEAD``).
        """
        assert self._transport is not None
        self._answered = answered
        self._head = self._body = self._chunked = None
        self._is_look = is_look
        self._kept = b""
        self._came = 0
        self._max_body = max_body
        self._time = clock.time()
        self.active_at = monotonic()
        self.begun = False
        self.uses += 1
        self._transport.write(message)
        if body is not None:
            for part in body if isinstance(body, tuple) else (body,):
                view = memoryview(part).cast("B")
                self._unsent += [view[k : k + _PIECE] for k in range(0, len(view), _PIECE)]
            self._send_on()

    def forget(self) -> None:
        """Closes it; nobody is told."""
        self._answered = None
        self.close()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for no answer."""
        return self._answered is None

    def close(self) -> None:
        """Closes it at once; whoever waits for an answer gets none."""
        self.closed = True
        self._unsent.clear()
        self._tell(self._no_answer("the connection was closed"))
        if self._transport is not None:
            self._transport.abort()

    # -- what the loop calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.active_at = monotonic()
        self._send_on()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._slots.view if self._body is None else self._body[self._came :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._answered is None:
            # More than was said, or of an answer that nobody waits for: whose is the rest?
            self.close()
            return
        self.begun = True
        self.active_at = monotonic()
        if self._chunked is not None:
            self._read_chunks(self._chunked, self._slots.view[:nbytes])
        elif self._body is None:
            if self._kept:
                self._kept += self._slots.view[:nbytes]
                self._read(self._kept.find(_END, 0, _MAX_HEAD), memoryview(self._kept))
            else:
                end = self._slots.find(_END, min(nbytes, _MAX_HEAD))
                self._read(end, self._slots.view[:nbytes])
        else:
            self._came += nbytes
            # It ends with a byte that is not there.
            size = len(self._body) - 1
            if self._came >= size:
                assert self._head is not None
                self._complete(self._head, self._body[:size], self._came - size)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._unsent.clear()
        head = self._head
        if self._answered is None:
            return
        if head is not None and head.status >= 400:
            # The status says enough.
            body = bytes(self._body[: self._came]) if self._body is not None else b""
            self._tell(Response(head.status, head.headers, body, self._time))
            return
        if head is not None:
            came = f"after {self._came} of {head.length} bytes" if head.length else "amid chunks"
        elif self.begun:
            came = f"after {len(self._kept)} bytes of the head"
        else:
            came = "before anything was answered"
        error = self._no_answer(f"the connection was lost {came}")
        is_silent = not self.begun or self._kept.startswith(_TLS_ALERT)
        error.silent = self.uses == 1 and is_silent
        self._tell(error)

    # -- steps --------------------------------------------------------------------------------

    def _send_on(self) -> None:
        """Sends the rest of the request, as far as the socket takes it."""
        assert self._transport is not None
        while self._unsent and not self._is_paused:
            self._transport.write(self._unsent.popleft())

    def _read(self, end: int, data: memoryview) -> None:
        """Reads the head, if it is complete, and what has come of the body with it.

        Args:
            end: Where the head's empty line begins; -1: it is not complete.
            data: What has come.
        """
        if end < 0:
            if len(data) >= _MAX_HEAD:
                self._give_up(Unexpected())
            elif not self._kept:
                self._kept = bytes(data)
            return
        stop = end + len(_END)
        head = parse_head(bytes(data[:stop]))
        if head is None:
            self._give_up(Unexpected())
            return
        size = 0 if self._is_look else head.length
        if size is None:
            self._head = head
            self._chunked = ChunkedBody(self._max_body)
            self._read_chunks(self._chunked, data[stop:])
            return
        if size > self._max_body:
            error = f"the answer has {size} bytes, more than the {self._max_body} expected"
            self._give_up(ResourceExhausted(error))
            return
        self._head, self._came = head, len(data) - stop
        if self._came >= size:
            self._complete(head, self._taken(data, stop, stop + size), self._came - size)
            return
        memory = reused_memory(size + 1, BODIES)
        body = memoryview(bytearray(size + 1)) if memory is None else memory.data
        body[: self._came] = data[stop:]
        self._body = body

    def _taken(self, data: memoryview, start: int, stop: int) -> bytes | memoryview:
        """A body that has come with its head, in memory that is read into no more."""
        assert self._head is not None
        # Who asks for a part takes bytes: they are copied while the processor's cache has them.
        is_part = self._head.status == 206
        if not is_part and not self._kept and stop - start >= _LEAST_IN_SLOT:
            taken = self._slots.taken(start, stop)
            if taken is not None:
                return taken
        return bytes(data[start:stop])

    def _read_chunks(self, body: ChunkedBody, data: memoryview) -> None:
        """Reads what has come of a body in chunks."""
        assert self._head is not None
        try:
            if body.feed(data):
                self._complete(self._head, bytes(body.data), body.follows)
        except NotChunked:
            self._give_up(Unexpected())
        except ResourceExhausted as error:
            self._give_up(error)

    def _complete(self, head: ResponseHead, body: bytes | memoryview, follows: int) -> None:
        assert self._transport is not None
        is_sent = not self._unsent and not self._transport.get_write_buffer_size()
        if follows or not head.keeps or not is_sent:
            self.closed = True
        # An idle connection has room: the loop asks for some even where nothing comes.
        self._body, self._chunked, self._kept = None, None, b""
        self.idle_since = self.active_at
        # Whoever is told may ask the next at once.
        self._tell(Response(head.status, head.headers, body, self._time))
        if self.closed:
            self._unsent.clear()
            self._transport.abort()

    def _no_answer(self, message: str) -> NoAnswer:
        """The error that says that no whole answer came, with what did come."""
        error, head, body = NoAnswer(message), self._head, self._body
        if head is not None and body is not None:
            error.cut = Response(head.status, head.headers, body[: self._came], self._time)
        return error

    def _give_up(self, error: Exception) -> None:
        self._tell(error)
        self.close()

    def _tell(self, found: Response | Exception) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(found)
