"""A long way to a server: a TCP relay that holds bytes back, in a process of its own, without root.

Everything takes half the round trip in each direction, connections take a whole one, and all bytes
of a direction go through one link of limited bandwidth, one after the other. A share of the answers
can be made to come late. It does not model slow start and loss: a connection is as fast from its
first byte on as the link is.

``python -m tests.servers.delay_relay PORT CONTROL HOST:PORT ROUND_TRIP BANDWIDTH LATE_SHARE LATE``
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

from tests.servers.loop import run
from tests.servers.process import ROOT, ServerProcess, free_port

#: Bytes of one connection that the relay holds before it reads no more; about what kernels hold.
_HELD = 4 << 20
_REQUEST = b" HTTP/1.1\r\n"


@dataclass(frozen=True)
class Way:
    """What lies between.

    Attributes:
        round_trip: Seconds there and back.
        bandwidth: Bytes per second in each direction; 0: no limit.
        late_share: Share of the answers that come late.
        late: Seconds by which they do.
    """

    round_trip: float = 0.0
    bandwidth: float = 0.0
    late_share: float = 0.0
    late: float = 0.0


@dataclass(frozen=True)
class DelayRelay:
    """A running relay; it listens on 127.0.0.1.

    Attributes:
        port: Where it stands for the server.
        control: Where it tells what went through.
    """

    port: int
    control: int

    @property
    def url(self) -> str:
        """The URL of its root."""
        return f"http://127.0.0.1:{self.port}/"

    def counts(self) -> dict[str, int]:
        """Requests, connections and bytes each way since it was last asked."""
        with socket.create_connection(("127.0.0.1", self.control)) as sock:
            pieces = []
            while piece := sock.recv(1 << 16):
                pieces.append(piece)
        found: dict[str, int] = json.loads(b"".join(pieces))
        return found


@contextmanager
def delayed(folder: Path, port: int, way: Way) -> Iterator[DelayRelay]:
    """A relay in front of a server on the loopback.

    Args:
        folder: Where it writes what it has to say.
        port: The server's.
        way: What lies between.
    """
    folder.mkdir(parents=True, exist_ok=True)
    relay = DelayRelay(free_port(), free_port())
    command = [sys.executable, "-m", "tests.servers.delay_relay", str(relay.port)]
    command += [str(relay.control), f"127.0.0.1:{port}", str(way.round_trip)]
    command += [str(way.bandwidth), str(way.late_share), str(way.late)]
    with ServerProcess(command, relay.port, folder, cwd=ROOT):
        relay.counts()
        yield relay


class _Link:
    """One direction: what is on its way, and when it arrives."""

    def __init__(self, way: Way) -> None:
        self._latency = way.round_trip / 2
        self._bandwidth = way.bandwidth
        self._loop = asyncio.get_running_loop()
        self._free = 0.0
        self._numbers = count()
        self._flying: list[tuple[float, int, _End, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0

    def send(self, end: _End, data: bytes, not_before: float = 0.0, late: float = 0.0) -> None:
        """Puts bytes on the way to an end; empty: that there are no more."""
        now = self._loop.time()
        self._free = max(now, self._free)
        if self._bandwidth:
            self._free += len(data) / self._bandwidth
        due = max(self._free, not_before) + self._latency + late
        self.bytes += len(data)
        heapq.heappush(self._flying, (due, next(self._numbers), end, data))
        if self._flying[0][0] == due:
            self._set()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._flying[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time() + 0.0002
        while self._flying and self._flying[0][0] <= now:
            _, _, end, data = heapq.heappop(self._flying)
            end.deliver(data)
        if self._flying:
            self._set()


class _End(asyncio.Protocol):
    """One end of a connection: bytes that come in go to its peer, over a link."""

    def __init__(self, relay: _Relay, *, is_client: bool, opened: float = 0.0) -> None:
        self._relay = relay
        self._is_client = is_client
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._late = 0.0
        self.peer: _End | None = None
        #: Bytes of this end's that are on their way, and whether that is too many.
        self._held = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(1 << 22)
        if self._is_client:
            self._relay.connect(self)
        for data in self._early:
            self.deliver(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        assert self.peer is not None
        relay = self._relay
        self._held += len(data)
        if self._held > _HELD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if not self._is_client:
            relay.back.send(self.peer, data, late=self._late)
            return
        requests = data.count(_REQUEST)
        if requests:
            relay.requests += requests
            self.peer._late = relay.way.late if relay.is_late() else 0.0
        # The handshake takes a round trip before.
        relay.there.send(self.peer, data, self._opened + relay.way.round_trip)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is not None:
            link = self._relay.there if self._is_client else self._relay.back
            link.send(self.peer, b"", late=0.0 if self._is_client else self._late)

    def deliver(self, data: bytes) -> None:
        """Bytes have arrived here."""
        if self._transport is None:
            self._early.append(data)
        elif not data:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write(data)
        if self.peer is not None:
            self.peer.arrived(len(data))

    def arrived(self, size: int) -> None:
        """Bytes of this end's have arrived."""
        self._held -= size
        if self._paused and self._held < _HELD // 2 and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()


class _Relay:
    def __init__(self, way: Way, host: str, port: int) -> None:
        self.way = way
        self.there, self.back = _Link(way), _Link(way)
        self.requests = self.connections = 0
        self.chance = random.Random(4)
        self._number = self._late_one = 0
        self._server = (host, port)
        self._tasks: set[asyncio.Task[Any]] = set()

    def accept(self) -> _End:
        """An end for a client that has come."""
        return _End(self, is_client=True, opened=asyncio.get_running_loop().time())

    def connect(self, client: _End) -> None:
        """Connects a client with the server."""
        self.connections += 1
        server = _End(self, is_client=False)
        client.peer, server.peer = server, client
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.create_connection(lambda: server, *self._server))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_late(self) -> bool:
        """Whether the next answer comes late: in each 1 / share of them, one does."""
        if not self.way.late_share:
            return False
        block = round(1 / self.way.late_share)
        if self._number == 0:
            self._late_one = self.chance.randrange(block)
        found = self._number == self._late_one
        self._number = (self._number + 1) % block
        return found

    def tell(self) -> bytes:
        """The counts as JSON, which begin anew."""
        found = {
            "requests": self.requests,
            "connections": self.connections,
            "sent": self.there.bytes,
            "received": self.back.bytes,
        }
        self.requests = self.connections = self.there.bytes = self.back.bytes = 0
        return json.dumps(found).encode()


class _Control(asyncio.Protocol):
    def __init__(self, relay: _Relay) -> None:
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writer = cast("asyncio.Transport", transport)
        writer.write(self._relay.tell())
        writer.close()


async def _main(port: str, control: str, server: str, *numbers: str) -> None:
    host, _, server_port = server.rpartition(":")
    relay = _Relay(Way(*map(float, numbers)), host, int(server_port))
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Control(relay), "127.0.0.1", int(control))
    await loop.create_server(relay.accept, "127.0.0.1", int(port), backlog=1024)
    await loop.create_future()


if __name__ == "__main__":
    run(_main(*sys.argv[1:]))
