"""How far a copy has come, so that it can go on after a crash.

A JSON object, in one key of a store, which replaces it as a whole::

    {"format": 1, "copy": fingerprint, "pieces": count, "done": [[first, end], ...]}

A piece is in ``done`` only after the target's store has said that it is durable. ``copy`` tells
copies apart: what is copied, into what, and how it is cut into pieces.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from asynctensor.errors import DataLoss, FailedPrecondition

_FORMAT = 1
_MEMBERS = {"format", "copy", "pieces", "done"}


class CopyState:
    """Which pieces of a copy are done: a set of numbers, kept as ranges."""

    def __init__(self, fingerprint: str, count: int, done: Iterable[tuple[int, int]] = ()) -> None:
        self.fingerprint, self.count = fingerprint, count
        self._ranges: list[tuple[int, int]] = list(done)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The pieces done, as ranges: in order, and apart from each other."""
        return tuple(self._ranges)

    @property
    def done(self) -> int:
        """How many pieces are done."""
        return sum(end - first for first, end in self._ranges)

    def add(self, number: int) -> None:
        """Says that a piece is done."""
        at = bisect_right(self._ranges, (number, self.count + 1))
        first, end = number, number + 1
        if at < len(self._ranges) and self._ranges[at][0] == end:
            end = self._ranges.pop(at)[1]
        if at and self._ranges[at - 1][1] >= first:
            at -= 1
            low, high = self._ranges.pop(at)
            first, end = low, max(end, high)
        self._ranges.insert(at, (first, end))

    def left(self) -> Iterator[int]:
        """The pieces that are not done, in order; none may be added meanwhile."""
        before = 0
        for first, end in (*self._ranges, (self.count, self.count)):
            number = before
            while number < first:
                yield number
                number += 1
            before = end

    def encoded(self) -> bytes:
        """The document."""
        found = {
            "format": _FORMAT,
            "copy": self.fingerprint,
            "pieces": self.count,
            "done": [list(each) for each in self._ranges],
        }
        return json.dumps(found).encode()

    @classmethod
    def decoded(cls, data: bytes, fingerprint: str, count: int) -> CopyState:
        """What a document says of the copy with this fingerprint.

        Raises:
            DataLoss: It is no such document.
            FailedPrecondition: It is about another copy.
        """
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DataLoss(f"{_WHAT} is not valid JSON: {error}; {_REMEDY}") from error
        if not isinstance(found, dict) or found.keys() != _MEMBERS or found["format"] != _FORMAT:
            raise DataLoss(f"{_WHAT} is none of format {_FORMAT}; {_REMEDY}")
        if found["copy"] != fingerprint or found["pieces"] != count:
            raise FailedPrecondition(
                f"{_WHAT} belongs to another copy, or source or target was made anew or changed "
                f"its shape or chunks since; {_REMEDY}"
            )
        return cls(fingerprint, count, _ranges(found["done"], count))


_WHAT = "the state given by resume="
_REMEDY = "delete it to copy from the beginning"


def _ranges(done: Any, count: int) -> list[tuple[int, int]]:
    wrong = DataLoss(f'{_WHAT} has a wrong member "done"; {_REMEDY}')
    if not isinstance(done, list):
        raise wrong
    before = -1
    found = []
    for each in done:
        if not isinstance(each, list) or [type(n) for n in each] != [int, int]:
            raise wrong
        first, end = each
        if not before < first < end <= count:
            raise wrong
        before = end
        found.append((first, end))
    return found
