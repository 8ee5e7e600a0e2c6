"""One connection of a client through a `FaultProxy`, and the one to the server that stands for it.

It counts bytes and knows of HTTP just enough to tell requests apart. States of one connection::

    idle -> asking (bytes from the client) -> answering (bytes from the server) -> asking -> ...
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol, cast

from asynctensor.testing.network_faults import (
    Alter,
    Fault,
    Follow,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
)

_PIECE: Final = 1 << 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD: Final = b"\r\n\r\n"


class Proxy(Protocol):
    """What a connection asks its proxy for.

    Attributes:
        latency: Seconds that bytes take in each direction.
    """

    latency: float

    def fault_of(self, head: bytes) -> Fault | None:
        """What shall go wrong with the request with this head."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server."""
        raise NotImplementedError


class Upstream(asyncio.StreamReaderProtocol):
    """A connection to the server.

    Args:
        reader: What comes from it.
        known: Holds its transport until that is closed.
        loop: The proxy's.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        known: set[asyncio.BaseTransport],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(reader, loop=loop)
        self._known = known
        self._made: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made = transport
        self._known.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._made is not None:
            self._known.discard(self._made)
        super().connection_lost(exc)


class Client(asyncio.Protocol):
    """The client's side: what it sent and nobody has taken yet, and the way back to it.

    Args:
        connected: Holds it while it is connected.
    """

    def __init__(self, connected: set[Client]) -> None:
        self._connected = connected
        self._held = bytearray()
        self._ended = False
        #: Whether it is to be reset as soon as it is there.
        self._unwanted = False
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connected.add(self)
        if self._unwanted:
            self.reset()

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected.discard(self)
        self._ended = True
        self._changed.set()
        self._drained.set()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    async def something(self) -> None:
        """Waits until there is something to take, or the client has closed."""
        while not self._held and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    async def head(self) -> bytes | None:
        """Takes the head of the next request; None when the client has closed."""
        while (end := self._held.find(_END_OF_HEAD)) < 0:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self.taken(end + len(_END_OF_HEAD))

    def taken(self, most: int) -> bytes:
        """Takes what is there, and `most` bytes at most."""
        piece = bytes(self._held[:most])
        del self._held[:most]
        return piece

    async def write(self, piece: bytes) -> None:
        """Sends to the client."""
        if self._transport is None or self._ended:
            raise ConnectionResetError("the client is gone")
        self._transport.write(piece)
        await self._drained.wait()

    def close(self) -> None:
        """Closes in good order."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Closes so that the client sees a reset, not an end."""
        if self._transport is None:
            self._unwanted = True
            return
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Connection:
    """One connection of a client, and the one to the server that stands for it.

    Args:
        proxy: Where it goes through.
        client: The client.
    """

    def __init__(self, proxy: Proxy, client: Client) -> None:
        self._proxy = proxy
        self._client = client
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        """Serves one request after the other."""
        try:
            while (head := await self._client.head()) is not None:
                if not await self._exchange(head):
                    return
        finally:
            if self._server is not None:
                self._server[1].close()

    async def _exchange(self, head: bytes) -> bool:
        """Passes one request and its answer on; False when the connection is to be closed."""
        fault = self._proxy.fault_of(head)
        length = _LENGTH.search(head)
        body = int(length[1]) if length else 0
        if isinstance(fault, Refuse):
            self._client.reset()
            return False
        if isinstance(fault, Reply):
            async for _ in self._body(body):
                pass
            await asyncio.sleep(2 * self._proxy.latency)
            await self._client.write(fault.encoded(is_head=head.startswith(b"HEAD ")))
            return True
        if self._server is None:
            self._server = await self._proxy.connect()
        reader, writer = self._server
        await asyncio.sleep(self._proxy.latency)
        writer.write(head)
        async for piece in self._body(body):
            writer.write(piece)
            await writer.drain()
        return await self._answer(reader, fault)

    async def _body(self, size: int) -> AsyncIterator[bytes]:
        while size:
            await self._client.something()
            piece = self._client.taken(min(size, _PIECE))
            if not piece:
                raise ConnectionResetError("the client is gone")
            size -= len(piece)
            yield piece

    async def _answer(self, reader: asyncio.StreamReader, fault: Fault | None) -> bool:
        """Passes on what the server sends, until the client asks again or closes."""
        budget = fault.after if isinstance(fault, Reset | Truncate | Stall) else None
        asked = asyncio.ensure_future(self._client.something())
        delayed = _Delayed(self._client, self._proxy.latency)
        try:
            first, left = True, 0
            while (piece := await _next_piece(reader, asked)) is not None:
                if first and isinstance(fault, Alter):
                    piece = fault.change(piece)
                if isinstance(fault, Follow):
                    left = (_answer_size(piece) if first else left) - len(piece)
                    if left == 0:
                        piece += fault.data
                first = False
                await delayed.write(piece if budget is None else piece[:budget])
                if budget is not None:
                    budget -= len(piece)
                    if budget <= 0 or not piece:
                        await delayed.drain()
                        await self._happen(fault)
                        return False
                elif not piece:
                    await delayed.drain()
                    return False
            return True
        finally:
            asked.cancel()
            delayed.cancel()

    async def _happen(self, fault: Fault | None) -> None:
        if isinstance(fault, Reset):
            self._client.reset()
        elif isinstance(fault, Stall):
            await self._client.something()


def _answer_size(beginning: bytes) -> int:
    """How long an answer is, by its head."""
    length = _LENGTH.search(beginning)
    return beginning.find(_END_OF_HEAD) + len(_END_OF_HEAD) + (int(length[1]) if length else 0)


async def _next_piece(reader: asyncio.StreamReader, asked: asyncio.Future[None]) -> bytes | None:
    """What the server sends next (empty: it closed); None when the client does something."""
    piece = asyncio.ensure_future(reader.read(_PIECE))
    both: list[asyncio.Future[Any]] = [piece, asked]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not piece.done():
        piece.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return await piece
        return None
    return piece.result()


class _Delayed:
    """Writes to a client, each some time later, without slowing the next."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._pump = asyncio.ensure_future(self._run()) if seconds else None

    async def write(self, piece: bytes) -> None:
        if self._pump is None:
            await self._client.write(piece)
        else:
            due = asyncio.get_running_loop().time() + self._seconds
            self._waiting.put_nowait((due, piece))

    async def drain(self) -> None:
        """Waits until all is written."""
        if self._pump is not None:
            await self._waiting.join()

    def cancel(self) -> None:
        if self._pump is not None:
            self._pump.cancel()

    async def _run(self) -> None:
        while True:
            due, piece = await self._waiting.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            with contextlib.suppress(OSError):
                await self._client.write(piece)
            self._waiting.task_done()
