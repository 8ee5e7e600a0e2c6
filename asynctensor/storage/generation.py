"""Versions of single values, as stores tell them apart.

A generation is an opaque byte string: two equal generations of one key mean the same bytes. Two
strings have a meaning of their own, and they are TensorStore's.
"""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.runtime.sources import SOURCES

#: Nothing is known: as a condition "unconditionally", as an answer "the condition did not hold".
UNKNOWN: bytes = b""
#: The key has no value: as a condition it means "create only if absent".
NO_VALUE: bytes = b"\x02"


@dataclass(frozen=True, slots=True)
class TimestampedStorageGeneration:
    """A generation, and the moment at which it was known to be the newest.

    Attributes:
        generation: The opaque version; `NO_VALUE` if the key was missing then.
        time: Seconds since the Unix epoch; negative infinity if not known.
    """

    generation: bytes = UNKNOWN
    time: float = float("-inf")

    @classmethod
    def now(cls, generation: bytes) -> TimestampedStorageGeneration:
        """`generation`, known to be the newest at this moment."""
        return cls(generation, SOURCES.time())
