"""What can go wrong with one HTTP request on its way through a `FaultProxy`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _any_request(head: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        when: Which requests, by the bytes of their heads.
        times: How many of them.
    """

    when: Callable[[bytes], bool] = _any_request
    times: int = 1


@dataclass(frozen=True, slots=True)
class Reply(Fault):
    """The server never sees the request; the client gets this answer.

    Attributes:
        status: Its status.
        headers: Its fields, but for ``Content-Length``.
        body: Its body.
    """

    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def encoded(self, *, is_head: bool = False) -> bytes:
        """The bytes of the answer, without the body where the request was ``HEAD``."""
        fields = (*self.headers, ("Content-Length", str(len(self.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"HTTP/1.1 {self.status} Fault\r\n{lines}\r\n".encode() + (
            b"" if is_head else self.body
        )


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The connection is reset after so many bytes of the answer, which the server has begun.

    With 0, the answer is lost: the server has done what was asked.
    """

    after: int = 0


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """The connection is closed in good order after so many bytes of the answer."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """After so many bytes of the answer nothing more comes, until the client closes."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """The connection is reset when the request arrives, which the server never sees."""


@dataclass(frozen=True, slots=True)
class Alter(Fault):
    """The beginning of the answer (its head, and what comes with it) is changed.

    Attributes:
        change: Gives other bytes for those.
    """

    change: Callable[[bytes], bytes] = bytes


@dataclass(frozen=True, slots=True)
class Follow(Fault):
    """More bytes come right after the whole answer, which says its length.

    Attributes:
        data: The bytes.
    """

    data: bytes = b""
