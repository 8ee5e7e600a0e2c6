"""Keys in paths of URLs, and queries. Pure (RFC 3986)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import quote

#: Names and values, in order.
Pairs: TypeAlias = "Sequence[tuple[str, str]]"
#: What is not percent-encoded beside letters and digits (section 2.3).
UNRESERVED: Final = "-._~"


def encoded_key(key: str, safe: str = "/") -> str:
    """A key as it stands in the path of a URL.

    Args:
        key: The key.
        safe: What is left as it is beyond `UNRESERVED`.

    Raises:
        UnicodeEncodeError: It is no Unicode text.
    """
    return quote(key, safe=f"{UNRESERVED}{safe}")


def encoded_query(pairs: Pairs) -> str:
    """A query, its names in order."""
    encoded = [(quote(n, safe=UNRESERVED), quote(v, safe=UNRESERVED)) for n, v in pairs]
    return "&".join([f"{name}={value}" for name, value in sorted(encoded)])
