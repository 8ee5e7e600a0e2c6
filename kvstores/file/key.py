"""Which keys name a file, and which file names are the store's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.entropy import random_hex

#: TensorStore skips the names with this ending when it lists, and so do we.
LOCK_SUFFIX = ".__lock"

_NEW = r"\.new-[0-9a-f]{16}"
_FOREIGN_SEPARATORS = r"|[\\:]" if sys.platform == "win32" else ""
#: NUL; an empty, "." or ".." component; a name of our own.
_BAD = re.compile(
    rf"\0|(?:\A|/)\.{{0,2}}(?:/|\Z)|{re.escape(LOCK_SUFFIX)}(?:/|\Z)|(?:\A|/){_NEW}(?:/|\Z)"
    + _FOREIGN_SEPARATORS
)
_NEW_NAME = re.compile(_NEW + re.escape(LOCK_SUFFIX))


def check_key(key: str) -> None:
    """Accepts the keys that can name a file below the root, and nothing else.

    Raises:
        InvalidArgument: The key can name nothing in a file store.
    """
    if not isinstance(key, str):
        raise InvalidArgument(f"a key is a str, not {type(key).__name__}: {key!r}")
    if _BAD.search(key) is not None:
        raise InvalidArgument(
            f"invalid key {key!r}: a key of a file store is relative, its components are not "
            f"empty, '.' or '..', hold no NUL and do not end in {LOCK_SUFFIX!r}",
            key=key,
        )


def is_key(key: str) -> bool:
    """Whether `check_key` accepts `key`."""
    return _BAD.search(key) is None


def are_keys(keys: Sequence[str]) -> bool:
    """Whether `check_key` accepts all of them."""
    # A key is its components, and so are keys one after the other: one search for all.
    return _BAD.search("/".join(keys)) is None


def new_name() -> str:
    """A name for a file that is being written: no key, and never given out twice."""
    return f".new-{random_hex(8)}{LOCK_SUFFIX}"


def is_new_name(name: str) -> bool:
    """Whether `name` may have come from `new_name`."""
    return _NEW_NAME.fullmatch(name) is not None
