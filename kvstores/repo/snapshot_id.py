"""How the id of a commit, which is that of the state after it, is spelled."""

from __future__ import annotations

import re

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo.objects import SEQ_LIMIT
from asynctensor.kvstores.repo.tail import Version

_ID = re.compile(r"([0-9a-f]{12})-([1-9][0-9]{0,18})(?:\.([1-9][0-9]{0,4}))?")


def snapshot_id(branch: str, version: Version) -> str:
    """The id of a commit: its branch and record, and its place where it is not the first."""
    seq, place = version
    return f"{branch}-{seq}" if place == 0 else f"{branch}-{seq}.{place}"


def parse_snapshot_id(text: str) -> tuple[str, Version]:
    """The branch's id and the version that an id spells.

    Raises:
        InvalidArgument: It is none.
    """
    found = _ID.fullmatch(text)
    if found is not None:
        version = (int(found[2]), int(found[3] or 0))
        if version[0] < SEQ_LIMIT and version[1] < 2**16:
            return found[1], version
    raise InvalidArgument(
        f"{text!r} is no id of a commit; those look like 'b3f09a2c71d4-17' or 'b3f09a2c71d4-17.2'"
    )


def is_snapshot_id(text: str) -> bool:
    """Whether `text` is spelled as an id of a commit."""
    return _ID.fullmatch(text) is not None
