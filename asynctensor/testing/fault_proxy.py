"""`FaultProxy`: a TCP proxy in front of a real HTTP server, on which things go wrong when told to.

It runs on a thread of its own, so that it keeps its promises whatever the code under test does to
its event loops::

    with FaultProxy("127.0.0.1", port) as proxy:
        proxy.plan(Reset(after=100), Reply(status=503))
        ...  # the next request is reset after 100 bytes of the answer; the one after it gets a 503
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeVar

from asynctensor.testing.held_port import held_port
from asynctensor.testing.network_faults import Fault
from asynctensor.testing.proxied_connection import Client, Connection, Upstream

T = TypeVar("T")
#: Turns of the loop in which a connection is made, or closed, and some more.
_TURNS: Final = 8


@dataclass(slots=True)
class ProxyStatistics:
    """What went through a proxy.

    Attributes:
        connections: Connections accepted.
        open: Connections open now.
        requests: Heads of requests in the order in which they came.
        faults: Faults that happened.
    """

    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    faults: int = 0


class FaultProxy:
    """The proxy; a context manager.

    Attributes:
        host: Where it listens.
        port: Where it listens; the same after `restart`.
        latency: Seconds that bytes take in each direction.
        statistics: What went through.
    """

    def __init__(self, host: str, port: int) -> None:
        """A proxy, not yet started.

        Args:
            host: The server's address.
            port: The server's port.
        """
        self._upstream = (host, port)
        self.host = "127.0.0.1"
        self.port = 0
        self.latency = 0.0
        self.statistics = ProxyStatistics()
        self._plan: list[Fault] = []
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._held: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[Client] = set()
        #: Connections to the server, until they are closed.
        self._upstreams: set[asyncio.BaseTransport] = set()

    @property
    def url(self) -> str:
        """The URL of the proxy's root."""
        return f"http://{self.host}:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """Has these happen to the requests that follow, each to the first that it is meant for."""
        self._plan += faults

    def forget(self) -> None:
        """Has nothing planned happen any more, and forgets what went through."""
        self._plan.clear()
        self.statistics.requests.clear()
        self.statistics.faults = 0

    def __enter__(self) -> Self:
        if os.name == "posix":
            # Nobody takes the port between `stop` and `restart`.
            self._held = held_port(self.host)
            self.port = self._held.getsockname()[1]
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._held is not None:
            self._held.close()

    def stop(self) -> None:
        """Resets all connections and refuses new ones, as a server that has died."""
        self._run(self._stop())

    def restart(self) -> None:
        """Listens again, where it did before."""
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(self._accepted, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accepted(self) -> Client:
        client = Client(self._clients)
        if self._server is None:
            # It came while the proxy was being stopped.
            client.reset()
            return client
        task = self._loop.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # asyncio leaves connections open that were accepted, but not made, when it closes.
            for sock in server.sockets:
                self._loop.remove_reader(sock.fileno())
            await self._pass_turns()
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for client in tuple(self._clients):
            client.reset()
        for transport in tuple(self._upstreams):
            # Also of those that were cancelled while they connected, or had something to send.
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        # Sockets are closed in the next turns of the loop.
        await self._pass_turns()

    @staticmethod
    async def _pass_turns() -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def _serve(self, client: Client) -> None:
        self.statistics.connections += 1
        self.statistics.open += 1
        try:
            await Connection(self, client).run()
        except asyncio.CancelledError:
            client.reset()
        except OSError:
            pass
        finally:
            self.statistics.open -= 1
            client.close()

    def fault_of(self, head: bytes) -> Fault | None:
        """What shall go wrong with a request; it is taken from the plan."""
        self.statistics.requests.append(head)
        for place, fault in enumerate(self._plan):
            if fault.when(head):
                if fault.times > 1:
                    self._plan[place] = replace(fault, times=fault.times - 1)
                else:
                    del self._plan[place]
                self.statistics.faults += 1
                return fault
        return None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server."""
        await asyncio.sleep(2 * self.latency)
        reader = asyncio.StreamReader(loop=self._loop)
        transport, protocol = await self._loop.create_connection(
            lambda: Upstream(reader, self._upstreams, self._loop), *self._upstream
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)
