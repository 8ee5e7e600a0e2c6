"""Which URL a key has. Pure.

TensorStore's normal form: the member ``base_url`` has scheme, host and query, and ``path`` the
rest, decoded. Only a path that decoding and encoding change (``/a%2Fb``) stays in ``base_url``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from asynctensor.errors import InvalidArgument
from asynctensor.pipeline_url import UrlComponent, encoded_path
from asynctensor.schema.json_value import array, dump, in_member, string

_SCHEMES = ("http", "https")
#: Fields that say how a message is sent, or which part of a value: they are the store's own.
_RESERVED = frozenset(
    ("accept-encoding", "connection", "content-length", "expect", "if-match", "if-modified-since",
     "if-none-match", "if-range", "if-unmodified-since", "range", "te", "transfer-encoding",
     "upgrade")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where the keys of a store are.

    Attributes:
        root: Scheme and authority, without credentials: ``"https://host:8443"``.
        path: What stands before each key, percent-encoded: empty, or beginning with ``/``.
        query: What follows each URL; None: nothing. It may hold a secret (a signature).
    """

    root: str
    path: str = ""
    query: str | None = field(default=None, repr=False)

    def url(self, key: str) -> str:
        """The URL of a key.

        Raises:
            InvalidArgument: The key leaves its place (``..``), or is no text.
        """
        if "." in key and not {".", ".."}.isdisjoint(key.split("/")):
            raise InvalidArgument(
                f'key {key!r} cannot be asked for: "." and ".." are no names in URLs'
            )
        try:
            encoded = encoded_path(key)
        except UnicodeEncodeError:
            raise InvalidArgument(f"key {key!r} is no Unicode text") from None
        path = _joined(self.path, encoded)
        query = "" if self.query is None else f"?{self.query}"
        return f"{self.root}{path}{query}"

    @property
    def base_url(self) -> str:
        """The member ``base_url`` of its spec."""
        return f"{self.root}{self.path}{'' if self.query is None else f'?{self.query}'}"


def parse_address(base_url: str) -> tuple[Address, str | None]:
    """The address that ``base_url`` says, and the user and password in it (encoded), if any.

    Raises:
        InvalidArgument: It is none.
    """
    # What cannot be sent as it is would be sent as something else.
    if not all("!" <= c <= "~" for c in base_url):
        raise InvalidArgument("Expected visible ASCII characters, others percent-encoded")
    if "#" in base_url:
        raise InvalidArgument("Fragment identifier not supported")
    scheme, mark, rest = base_url.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise InvalidArgument(
            f'Expected scheme of "http" or "https" but received: {dump(scheme if mark else "")}'
        )
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    user, at, host = authority.rpartition("@")
    try:
        parts = urlsplit(f"{scheme}://{host}/")
        bad = not parts.hostname or parts.port == 0
    except ValueError:
        bad = True
    if bad:
        raise InvalidArgument(f"Expected a host, and a port if any, but received: {dump(host)}")
    found = Address(f"{scheme}://{host}", slash + path, query or None)
    return found, user if at else None


def read_url(component: UrlComponent) -> tuple[dict[str, Any], str]:
    """Members and path that a URL stands for."""
    query = "" if component.query is None else f"?{component.query}"
    return place({"base_url": f"{component.scheme}://{component.path}{query}"}, "")


def write_url(options: Mapping[str, Any], path: str) -> str:
    """The URL of members and path."""
    scheme, _, rest = str(options["base_url"]).partition("://")
    before, mark, query = rest.partition("?")
    authority, slash, fixed = before.partition("/")
    whole = _joined(slash + fixed, encoded_path(path)) if path else slash + fixed
    return f"{scheme}://{authority}{whole}{mark}{query}"


def place(options: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The normal form of members and path; see the module.

    Raises:
        InvalidArgument: ``base_url`` is wrong, or there is a path in both.
    """
    base_url = options["base_url"]
    with in_member("base_url"):
        address, user = parse_address(base_url)
    if address.path and path.startswith("/"):
        raise InvalidArgument(
            f"Cannot specify absolute path {dump(path)} in conjunction with base URL "
            f'"{address.root}{address.path}" which already includes the path component '
            f"{dump(address.path)}"
        )
    decoded = _decoded(address.path)
    if decoded is None or encoded_path(decoded) != address.path:
        return options, path
    if address.path:
        path = _joined(decoded, path) if path else decoded
    scheme, _, host = address.root.partition("://")
    authority = host if user is None else f"{user}@{host}"
    query = "" if address.query is None else f"?{address.query}"
    return {**options, "base_url": f"{scheme}://{authority}{query}"}, path


def check_members(options: dict[str, Any], form: object) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: One is wrong; the message gives its path.
    """
    with in_member("base_url"):
        if "base_url" not in options:
            raise InvalidArgument("Expected string, but member is missing")
        string(options["base_url"])
    if "headers" in options:
        with in_member("headers"):
            options = {**options, "headers": list(array(options["headers"], _header))}
    return options


def split_header(text: str) -> tuple[str, str]:
    """Name and value of a header as it stands in a spec."""
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _header(value: Any) -> str:
    text = string(value)
    name, value = split_header(text)
    token = name and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)
    if ":" not in text or not token or not all(" " <= c <= "~" or c == "\t" for c in value):
        # The value may be a secret.
        raise InvalidArgument(f"Invalid HTTP header: {dump(name)}: expected name: value")
    if name.lower() in _RESERVED:
        raise InvalidArgument(f"HTTP header {dump(name)} is set by the store itself")
    return text


def _decoded(path: str) -> str | None:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        return None


def _joined(path: str, rest: str) -> str:
    """`rest` below `path`; of one that is a file, what is added is below it, not behind it."""
    if path.endswith("/") or rest.startswith("/") or not (path or rest):
        return path + rest
    return f"{path}/{rest}"
