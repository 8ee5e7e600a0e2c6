"""Chance: names that nobody else gives out, and waits that differ from everybody else's.

All of asynctensor draws from here, and nothing from `random`, `secrets` or `uuid`, so that a
simulation (`asynctensor.testing.deterministic_loop`) can put a seeded source in its place.
"""

from __future__ import annotations

from asynctensor.runtime.sources import SOURCES


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can predict."""
    return SOURCES.random_bytes(count)


def random_hex(count: int) -> str:
    """The same, as ``2 * count`` hexadecimal digits."""
    return SOURCES.random_bytes(count).hex()


def uniform(low: float, high: float) -> float:
    """A number between the two; each is as likely as the other."""
    # 53 bits: all that a float between 0 and 1 can hold evenly.
    drawn = int.from_bytes(SOURCES.random_bytes(7), "little") >> 3
    return low + (high - low) * (drawn / (1 << 53))
