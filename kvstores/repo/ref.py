"""References: where one value is."""

from __future__ import annotations

from typing import NamedTuple

import google_crc32c

#: (seq, place): entry `place` of record `seq`.
Version = tuple[int, int]


class Ref(NamedTuple):
    """Where one value is. A tuple, as there may be one for each of many chunks.

    Attributes:
        object: The object that holds it; empty for an inline value.
        offset: Where it begins there, in bytes.
        size: Its length in bytes.
        crc: Its crc32c.
        inline: The value itself.
        version: (seq, place) of the entry that wrote it; (0, 0) inside that record.
    """

    object: str
    offset: int
    size: int
    crc: int
    inline: bytes | None = None
    version: Version = (0, 0)

    @staticmethod
    def of_inline(value: bytes, version: Version = (0, 0)) -> Ref:
        """The reference that is the value itself."""
        return Ref("", 0, len(value), google_crc32c.value(value), value, version)
