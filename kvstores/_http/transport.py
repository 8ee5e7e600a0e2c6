"""The contract of what exchanges one request for one response."""

from __future__ import annotations

from typing import Protocol

from asynctensor.kvstores._http.message import Request, Response


class Transport(Protocol):
    """Sends requests from the I/O loop; connections are kept and shared below it."""

    async def send(self, request: Request, timeout: float | None = None) -> Response:
        """One attempt: sends `request`, reads the response to its end.

        Redirects are responses like others: following them is for whoever knows what the request
        holds that another host must not see.

        Args:
            request: What to send.
            timeout: Seconds after which to give up; None: those that the transport has.

        Returns:
            Any well-formed response, whatever its status.

        Raises:
            Unavailable: No whole response came (no connection, reset, cut off, garbled). What the
                server did with the request is not known, unless `sent` is False on the error.
            DeadlineExceeded: The time ran out; as above.
            ResourceExhausted: The body is longer than the request allows.

        A cancelled call leaves no connection in an unknown state: it is closed, or reused only when
        the response has been read to its end.
        """
        ...
