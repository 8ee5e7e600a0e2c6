"""The contract of what exchanges one request for one response."""

from __future__ import annotations

from typing import Protocol

from asynctensor.kvstores._http.message import Request, Response
from asynctensor.runtime.clock import NEVER, Deadline


class Transport(Protocol):
    """Sends requests from the I/O loop; connections are kept and shared below it."""

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        """One attempt: sends `request`, reads the response to its end.

        Redirects are responses like others: following them is for whoever knows what the request
        holds that another host must not see.

        Args:
            request: What to send.
            limit: When to give up.

        Returns:
            Any well-formed response, whatever its status.

        Raises:
            Unavailable: No whole response came (no connection, reset, cut off, garbled). What the
                server did with the request is not known, unless `sent` is False on the error.
            DeadlineExceeded: `limit` has passed; as above.
            ResourceExhausted: The body is longer than the request allows.

        A cancelled call leaves no connection in an unknown state: it is closed, or reused only when
        the response has been read to its end.
        """
        ...
