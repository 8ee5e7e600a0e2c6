"""``Retry-After``: when a server wants to be asked again (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from asynctensor.kvstores._http.message import Headers

#: Digits of the longest number of seconds that is taken for one: some 30 years.
_DIGITS = 9


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds to wait as a server asks; None: it does not ask.

    A date is compared with the server's own clock where the answer tells it (``Date``).

    Args:
        headers: Of its answer.
        now: Unix time by our clock.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return float(text)
    then = _date(text)
    if then is None:
        return None
    said = _date(headers.get("date", ""))
    return max(0.0, then - (now if said is None else said))


def _date(text: str) -> float | None:
    """An HTTP date (section 5.6.7) as Unix time; None if it is none."""
    if not text or len(text) > 64:
        return None
    try:
        found = parsedate_to_datetime(text)
        # All are in GMT, also where they do not say so.
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
