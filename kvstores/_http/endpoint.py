"""The member ``endpoint`` of specs: where a service is, if not where its provider has it. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from asynctensor.errors import InvalidArgument


def parse_endpoint(text: str, credentials: str) -> str:
    """The endpoint that a spec names, without a slash at its end.

    Args:
        text: As it is given.
        credentials: The resource that says who asks.

    Raises:
        InvalidArgument: It is none.
    """
    if not all("!" <= c <= "~" for c in text) or "?" in text or "#" in text:
        raise InvalidArgument('Invalid "endpoint": expected a URL without query and fragment')
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument(
            'Invalid "endpoint": expected http://host[:port][/path] or https://...'
        )
    if "@" in urlsplit(text).netloc:
        raise InvalidArgument(
            f'Invalid "endpoint": it names a user; say who asks with {credentials}'
        )
    return text.rstrip("/")
