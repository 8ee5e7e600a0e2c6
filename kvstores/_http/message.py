"""HTTP requests and responses as values: what stores make and read, and transports exchange.

Nothing here knows a cloud, a socket or a library. Source: RFC 9110.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, overload

from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer

T = TypeVar("T")
#: A body, whole or in pieces that follow each other.
Body: TypeAlias = "Buffer | tuple[Buffer, ...]"

#: What URLs begin with; the rest is visible ASCII, which a request line can carry (RFC 9112,
#: section 3).
_SCHEMES = ("http://", "https://")


class Headers(Mapping[str, str]):
    """Fields of a message by name, whatever the case; of several of one name, joined by commas."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            known = self._fields.get(name.lower())
            self._fields[name.lower()] = value if known is None else f"{known}, {value}"

    @classmethod
    def of_lower(cls, fields: dict[str, str]) -> Headers:
        """Fields whose names are in lower case already; the dictionary is not copied."""
        made = cls.__new__(cls)
        made._fields = fields
        return made

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | T) -> str | T: ...
    def get(self, name: str, /, default: str | T | None = None) -> str | T | None:
        """The field, or `default`: most fields that are looked for are not there."""
        return self._fields.get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)})"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete but for ``Host``, ``Content-Length`` and ``Connection``.

    Attributes:
        method: ``"GET"``.
        url: Absolute, percent-encoded: sent as it is. It may hold a secret (a signature).
        headers: Fields in order. They may hold secrets: neither they nor the query of `url` are
            ever shown.
        body: What is sent; None: nothing.
        max_body: A response with a longer body is an error, and read no further.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None
    max_body: int = 2**31

    def __post_init__(self) -> None:
        url = self.url
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if not is_plain or not url.startswith(_SCHEMES) or url in _SCHEMES:
            raise InvalidArgument(
                f"{url.partition('?')[0]!a} cannot be asked: expected http:// or "
                "https://, with all but visible ASCII characters percent-encoded"
            )

    def __repr__(self) -> str:
        return f"<{self.method} {self.url.partition('?')[0]}>"


@dataclass(slots=True)
class Response:
    """One response, read to its end.

    Attributes:
        status: ``206``.
        headers: Its fields.
        body: Its body, as it was sent (no content coding undone).
        time: Unix seconds when the request was sent: what is read was current then or later.
    """

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes | bytearray | memoryview = b""
    time: float = 0.0
