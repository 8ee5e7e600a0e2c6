"""`SentRequest`: a request that is sent once, without a task, and what comes of it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Protocol

from asynctensor.errors import Aborted, Error
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.fast_connection import FastConnection, Unexpected
from asynctensor.kvstores._http.fast_host import FastHost, lose_patience, misread, no_whole_answer
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.runtime.loose_tasks import loose_task

#: What is said of a read that was under way then.
ENDED: Final = "the I/O loop ended during the read"


class Way(Protocol):
    """What makes its connections: a `FastTransport`.

    Attributes:
        is_closed: Whether nothing more is to be sent.
    """

    is_closed: bool

    async def connected(self, host: FastHost) -> FastConnection | None:
        """A new connection; None where it was refused."""
        ...


class SentRequest(ABC):
    """A request that `FastTransport.begin` sends once, and what comes of it."""

    __slots__ = ("_connecting", "_connection", "_host", "_is_over", "_message", "_sent", "_way")

    _way: Way
    _host: FastHost
    _message: bytes
    _sent: Request

    def __init__(self) -> None:
        self._connection: FastConnection | None = None
        self._connecting: asyncio.Task[FastConnection | None] | None = None
        self._is_over = False

    @abstractmethod
    def came(self, found: Response | Error | None) -> None:
        """Told once what came of it, unless it was given up.

        Args:
            found: The answer, or what `FastTransport.send` would have raised; None where that is
                for `send` to find out. (Where `NoAnswer.patient` is set, it is for the other
                transport, after one attempt.)
        """

    def stop(self) -> None:
        """Gives it up: its connection is closed, and nobody is told any more."""
        self._is_over = True
        if self._connection is not None:
            self._host.busy.discard(self._connection)
            self._connection.forget()

    # -- for the transport --------------------------------------------------------------------

    def goes(self, way: Way, host: FastHost, message: bytes, sent: Request) -> None:
        """Says how it is sent, and as what."""
        self._way, self._host, self._message, self._sent = way, host, message, sent

    def ask(self, connection: FastConnection) -> None:
        """Sends it on an idle connection."""
        self._connection = connection
        self._host.busy.add(connection)
        connection.ask(self._message, self._sent.max_body, self._answered)

    def connect(self) -> None:
        """Sends it on a new one."""
        self._connecting = loose_task(self._way.connected(self._host), self._connected)

    def refuse(self) -> None:
        """Does not send it any more."""
        self._ended(Aborted(ENDED))

    def _connected(self, task: asyncio.Task[FastConnection | None]) -> None:
        self._connecting = None
        if task.cancelled():
            self._ended(Aborted(ENDED))
            return
        error = task.exception()
        if error is not None:
            self._ended(error if isinstance(error, Error) else None)
            return
        connection = task.result()
        if connection is None:
            self._ended(None)
        elif self._is_over or self._way.is_closed:
            connection.close()
            self._ended(Aborted(ENDED))
        else:
            self.ask(connection)

    def _answered(self, found: Response | Exception) -> None:
        connection, host = self._connection, self._host
        assert connection is not None
        self._connection = None
        host.busy.discard(connection)
        if isinstance(found, Response):
            # Idle before anybody is told, who may have a next request for it.
            if not connection.closed:
                host.idle.append(connection)
                host.unexpected = 0
            self.came(found)
        elif isinstance(found, Unexpected):
            lose_patience(host)
            self._ended(misread(host, self._sent))
        elif not isinstance(found, NoAnswer):
            self._ended(found if isinstance(found, Error) else None)
        elif self._way.is_closed:
            self._ended(Aborted(ENDED))
        elif connection.uses > 1 and not connection.begun:
            # The server had closed it meanwhile. The others are as old.
            self.connect()
        else:
            self._ended(no_whole_answer(host, self._sent, found))

    def _ended(self, found: Response | Error | None) -> None:
        if not self._is_over:
            self._is_over = True
            self.came(found)
