"""Which parts of one commit may have a key. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from asynctensor.kvstores.repo.part_ref import PartPage, PartRef, Span


class PartTable:
    """The parts of one commit that have keys of one space.

    Args:
        rows: The keys of each, and where they are.
    """

    def __init__(self, rows: Iterable[tuple[Span, PartPage]]) -> None:
        self._rows = sorted(rows, key=lambda row: row[0].first)
        self._firsts = [span.first for span, _ in self._rows]
        #: Of each row, the greatest key of it and all before it.
        self._reach: list[bytes] = []
        reach = b""
        for span, _ in self._rows:
            reach = max(reach, span.last)
            self._reach.append(reach)

    @staticmethod
    def of(parts: Iterable[PartRef]) -> dict[bytes, PartTable]:
        """The tables of a commit, by space."""
        rows: dict[bytes, list[tuple[Span, PartPage]]] = {}
        for part in parts:
            for span, page in zip(part.spans, part.pages(), strict=True):
                rows.setdefault(span.space, []).append((span, page))
        return {space: PartTable(some) for space, some in rows.items()}

    @property
    def pages(self) -> list[PartPage]:
        """All of them."""
        return [page for _, page in self._rows]

    def candidates(self, key: bytes) -> list[PartPage]:
        """Those that may have a key."""
        found: list[PartPage] = []
        at = bisect_right(self._firsts, key)
        while at > 0 and self._reach[at - 1] >= key:
            at -= 1
            span, page = self._rows[at]
            if span.may_hold(key):
                found.append(page)
        return found
