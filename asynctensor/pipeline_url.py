"""URLs of TensorStore: ``kvstore|adapter|...|format``, each component ``scheme:rest``.

Grammar::

    url       = root *( "|" component )
    root      = scheme "://" path [ "?" query ]
    component = scheme [ ":" path ]
    path      = *( unreserved / "/" / "%" HEX HEX )    ; bytes of UTF-8

A ``|`` in a path is written ``%7C``. Few kvstores take a query; fragments (``#``) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from asynctensor.errors import InvalidArgument

#: What may be secret in a URL: a query (a signature), and a user with a password.
_SECRETS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-_]*://)(?:[^/?#|@]*@)?([^?#|]*)(\?)?[^#|]*")
_COMPONENT: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-_]*)(?::(?P<rest>.*))?", re.DOTALL
)
#: Not escaped, beside letters, digits and ``-._~``: what TensorStore leaves as it is.
_SAFE: Final = "/:!$&'()*+,;="
#: What needs no encoding, as nearly all keys.
_PLAIN: Final = re.compile(r"[0-9A-Za-z/_.\-~]*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class UrlComponent:
    """One component of a pipeline, undecoded.

    Attributes:
        scheme: Its scheme, lower case.
        path: What follows ``scheme://`` or ``scheme:``, percent-encoded.
        is_root: Whether it is written with ``://``.
        query: What follows ``?``, percent-encoded; None where there is no ``?``. It may hold a
            secret.
    """

    scheme: str
    path: str
    is_root: bool
    query: str | None = field(default=None, repr=False)

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
        query = "" if self.query is None else f"?{self.query}"
        return shown_url(f"{self.scheme}:{'//' if self.is_root else ''}{self.path}{query}")


def shown_url(url: str) -> str:
    """`url` without what may be secret: queries, and users with passwords."""
    if "://" not in url:
        return url
    return _SECRETS.sub(lambda found: f"{found[1]}{found[2]}{'?...' if found[3] else ''}", url)


def looks_like_url(text: str) -> bool:
    """Whether `text` begins with a scheme and ``://`` (a path of a file does not)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-_]*://", text) is not None


#: As deep as JSON may be nested.
_MAX_COMPONENTS = 64


def parse_pipeline(url: str) -> tuple[UrlComponent, ...]:
    """The components of a URL, from the root kvstore to the format.

    Raises:
        InvalidArgument: It is empty, or a component has no scheme or a fragment; or the first is
            no root, or a later one is, or has a query.
    """
    if not url:
        raise InvalidArgument("URL must be non-empty")
    if url.count("|") >= _MAX_COMPONENTS:
        raise InvalidArgument(f"Expected a URL of at most {_MAX_COMPONENTS} components")
    found = tuple(_component(text, url) for text in url.split("|"))
    if not found[0].is_root:
        raise InvalidArgument(
            f'Parsing spec from url: "{shown_url(url)}": scheme in "{found[0]}" is not valid as '
            'the first URL pipeline component; begin with a kvstore, such as "file:///" or '
            '"memory://"'
        )
    for each in found[1:]:
        if each.query is not None:
            raise InvalidArgument(
                f'Parsing spec from url: "{shown_url(url)}": {refused_query(each).message}'
            )
        if each.is_root:
            raise InvalidArgument(
                f'Parsing spec from url: "{shown_url(url)}": "{each}" is only valid as the first '
                "URL pipeline component"
            )
    return found


def encoded_path(path: str) -> str:
    """A path with percent-encoding."""
    if _PLAIN.fullmatch(path) is not None:
        return path
    return quote(path, safe=_SAFE)


def format_component(scheme: str, path: str, *, is_root: bool) -> str:
    """The URL component for a path that is not encoded yet."""
    return f"{scheme}:{'//' if is_root else ''}{quote(path, safe=_SAFE)}"


def refused_query(component: UrlComponent) -> InvalidArgument:
    """The error that says that a component takes no query."""
    return InvalidArgument(
        f'Invalid URL component "{component}": Query string not supported; write %3F for the '
        "character itself"
    )


def _component(text: str, url: str) -> UrlComponent:
    match = _COMPONENT.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            f'Parsing spec from url: "{shown_url(url)}": unsupported URL scheme: '
            f'"{shown_url(text)}"; Expected scheme:path, such as file:///path, or a '
            "pathlib.Path"
        )
    rest = match["rest"] or ""
    if "#" in rest:
        raise InvalidArgument(
            f'Parsing spec from url: "{shown_url(url)}": Invalid URL component '
            f'"{shown_url(text)}": Fragment identifier not supported; write %23 for the character '
            "itself"
        )
    rest, mark, query = rest.partition("?")
    is_root = rest.startswith("//")
    path = rest[2:] if is_root else rest
    return UrlComponent(match["scheme"].lower(), path, is_root, query if mark else None)
