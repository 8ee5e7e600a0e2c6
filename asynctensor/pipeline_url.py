"""URLs of TensorStore: ``kvstore|adapter|...|format``, each component ``scheme:rest``.

Grammar::

    url       = root *( "|" component )
    root      = scheme "://" path
    component = scheme [ ":" path ]
    path      = *( unreserved / "/" / "%" HEX HEX )    ; bytes of UTF-8

A ``|`` in a path is written ``%7C``. Query (``?``) and fragment (``#``) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from asynctensor.errors import InvalidArgument

_COMPONENT: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-_]*)(?::(?P<rest>.*))?", re.DOTALL
)
#: Not escaped, beside letters, digits and ``-._~``: what TensorStore leaves as it is.
_SAFE: Final = "/:!$&'()*+,;="
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class UrlComponent:
    """One component of a pipeline, undecoded.

    Attributes:
        scheme: Its scheme, lower case.
        path: What follows ``scheme://`` or ``scheme:``, percent-encoded.
        is_root: Whether it is written with ``://``.
    """

    scheme: str
    path: str
    is_root: bool

    def decoded_path(self) -> str:
        """The path without percent-encoding.

        Raises:
            InvalidArgument: An escape is incomplete, or the bytes are not UTF-8.
        """
        if _BAD_ESCAPE.search(self.path):
            raise InvalidArgument(f'Invalid percent-encoding in URL component "{self}"')
        try:
            return unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            raise InvalidArgument(f'URL component "{self}" does not decode to UTF-8') from None

    def __str__(self) -> str:
        return f"{self.scheme}:{'//' if self.is_root else ''}{self.path}"


def looks_like_url(text: str) -> bool:
    """Whether `text` begins with a scheme and ``://`` (a path of a file does not)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-_]*://", text) is not None


def parse_pipeline(url: str) -> tuple[UrlComponent, ...]:
    """The components of a URL, from the root kvstore to the format.

    Raises:
        InvalidArgument: It is empty, or a component has no scheme, a query or a fragment; or the
            first is no root, or a later one is.
    """
    if not url:
        raise InvalidArgument("URL must be non-empty")
    found = tuple(_component(text, url) for text in url.split("|"))
    if not found[0].is_root:
        raise InvalidArgument(
            f'Parsing spec from url: "{url}": scheme in "{found[0]}" is not valid as the first '
            'URL pipeline component; begin with a kvstore, such as "file:///" or "memory://"'
        )
    for each in found[1:]:
        if each.is_root:
            raise InvalidArgument(
                f'Parsing spec from url: "{url}": "{each}" is only valid as the first URL pipeline '
                "component"
            )
    return found


def format_component(scheme: str, path: str, *, is_root: bool) -> str:
    """The URL component for a path that is not encoded yet."""
    return str(UrlComponent(scheme, quote(path, safe=_SAFE), is_root))


def _component(text: str, url: str) -> UrlComponent:
    match = _COMPONENT.fullmatch(text)
    if match is None:
        raise InvalidArgument(f'Parsing spec from url: "{url}": unsupported URL scheme: "{text}"')
    rest = match["rest"] or ""
    for mark, what in (("?", "Query string"), ("#", "Fragment identifier")):
        if mark in rest:
            raise InvalidArgument(
                f'Parsing spec from url: "{url}": Invalid URL component "{text}": {what} not '
                f"supported; write {quote(mark)} for the character itself"
            )
    is_root = rest.startswith("//")
    return UrlComponent(match["scheme"].lower(), rest[2:] if is_root else rest, is_root)
