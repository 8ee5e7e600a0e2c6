"""Names that are not known: what an error says of those that are."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable


def near(name: str, known: Iterable[str]) -> str:
    """The end of an error for a name that is not known: what was perhaps meant, or all there is."""
    import difflib

    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"; did you mean {' or '.join(repr(n) for n in close)}?"
    return f"; known are {', '.join(repr(n) for n in names)}" if names else ""


def extra_members(extra: Collection[str], known: Collection[str]) -> str:
    """The error for members of an object that are not known.

    Args:
        extra: Their names, at least one.
        known: The names that the object may have.
    """
    names = sorted(extra)
    hint = near(names[0], known) if known else "; expected none"
    return f"Object includes extra members: {','.join(map(json.dumps, names))}{hint}"
