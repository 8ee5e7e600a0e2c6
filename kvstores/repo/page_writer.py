"""Writing pages within limits: cutting large ones, joining small ones with a neighbour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import google_crc32c
import numpy as np

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.descent import Node, Pages, checked
from asynctensor.kvstores.repo.pack import PagePacks
from asynctensor.kvstores.repo.page import Interior, Leaf, Page, PageRef
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import joined

Row = tuple[bytes, PageRef]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large pages get.

    Attributes:
        entries: Of a leaf. 4,096 references are about 64 KiB: one small request.
        children: Of an interior page. Two levels of them hold 4 * 10**9 references.
        page_bytes: Of any page that can be cut.
        inline: The longest inline value, in bytes, that stays in a leaf.
        ahead: Pages that are asked for and held at once; 128 leaves are about 10 MB in memory.
    """

    entries: int = 4096
    children: int = 1024
    page_bytes: int = 1 << 16
    inline: int = 256
    ahead: int = 128


@dataclass(frozen=True, slots=True)
class PageWriter:
    """Writes the pages of one fold."""

    packs: PagePacks
    limits: Limits

    def written(self, page: Page) -> list[Row]:
        """Writes `page`, cut into as many as the limits ask; each with its first key."""
        most = self._most(page)
        cuts = -(-len(page) // most)
        if cuts == 1:
            data = page.encode()
            if len(data) <= self.limits.page_bytes or len(page) == 1:
                name, offset = self.packs.add(data)
                crc = google_crc32c.value(data)
                return [(page.entries.key(0), PageRef(name, offset, len(data), crc, page.count))]
            cuts = min(-(-len(data) // self.limits.page_bytes), len(page))
        bounds = [len(page) * cut // cuts for cut in range(cuts + 1)]
        parts = [page.part(start, stop) for start, stop in pairwise(bounds)]
        return [row for part in parts for row in self.written(part)]

    def raised(self, page: Page, level: int) -> Page:
        """`page` as a page of `level`; what must stand between is written."""
        while page.level < level:
            page = Interior.of(page.level + 1, page.entries.space, self.written(page))
        return page

    def rooted(self, page: Page) -> PageRef:
        """Writes `page` and what must stand above it; returns the root."""
        while True:
            if isinstance(page, Interior) and len(page) == 1:
                return page.child(0)
            rows = self.written(page)
            if len(rows) == 1:
                return rows[0][1]
            page = Interior.of(page.level + 1, page.entries.space, rows)

    def sparse(self, page: Page) -> bool:
        """Whether `page` has less than a quarter of what it may have."""
        if len(page) >= max(self._most(page) // 4, 2):
            return False
        if isinstance(page, Interior) and len(page) < 2:
            return True
        return len(page.encode()) < self.limits.page_bytes // 4

    def moved(self, changes: Run) -> Run:
        """`changes` with inline values that are too long for a page moved into the packs."""
        long = changes.inlined & (changes.sizes > np.uint64(self.limits.inline))
        if not long.any():
            return changes
        names = list(changes.names)
        where, offsets = changes.where.copy(), changes.offsets.copy()
        for row in np.flatnonzero(long).tolist():
            start = int(offsets[row])
            name, offset = self.packs.add(changes.inline[start : start + int(changes.sizes[row])])
            short = objects.packed(name)
            if not names or names[-1] != short:
                names.append(short)
            where[row], offsets[row] = len(names) + 1, offset
        return replace(changes, names=tuple(names), where=where, offsets=offsets)

    def _most(self, page: Page) -> int:
        return self.limits.children if isinstance(page, Interior) else self.limits.entries


class Siblings:
    """The children of one new interior page, given from left to right.

    A new page is written once what follows it is known not to need it; so two of them at most are
    held, however many there are.
    """

    def __init__(self, writer: PageWriter, dead: list[PageRef]) -> None:
        self._writer = writer
        self._dead = dead
        self._rows: list[Row] = []
        #: The child behind the last row, if that is an old one.
        self._last: Node | None = None
        #: Not sparse, and right before `_pending`.
        self._held: Page | None = None
        self._pending: Page | None = None

    def new(self, page: Page) -> None:
        """Adds a page that is not written yet."""
        if self._pending is None:
            self._pending = page
        elif self._writer.sparse(self._pending):
            self._pending = _joined(self._pending, page)
        else:
            if self._held is not None:
                self._write(self._held)
            self._held, self._pending = self._pending, page

    def old(self, nodes: Iterable[Node]) -> Pages[None]:
        """Adds pages that stay as they are; asks for one if it must help a sparse one out."""
        for node in nodes:
            self._lean_left()
            if self._pending is not None and self._writer.sparse(self._pending):
                self._pending = _joined(self._pending, (yield from self._reopened(node)))
            else:
                self._flush()
                assert node.parent is not None
                self._rows.append((node.parent.entries.key(node.at), node.ref))
                self._last = node

    def finish(self) -> Pages[list[Row] | Page]:
        """The keys and pages of all children; or the only one, if it is new, not written."""
        self._lean_left()
        pending, last = self._pending, self._last
        if last is not None and pending is not None and self._writer.sparse(pending):
            self._rows.pop()
            self._pending = pending = _joined((yield from self._reopened(last)), pending)
        if pending is not None and self._held is None and not self._rows:
            return pending
        self._flush()
        return self._rows

    def _lean_left(self) -> None:
        held, pending = self._held, self._pending
        if held is not None and pending is not None and self._writer.sparse(pending):
            self._held, self._pending = None, _joined(held, pending)

    def _reopened(self, node: Node) -> Pages[Page]:
        page = checked((yield [node.ref])[0], node)
        self._dead.append(node.ref)
        return page

    def _flush(self) -> None:
        for page in (self._held, self._pending):
            if page is not None:
                self._write(page)
        self._held = self._pending = None

    def _write(self, page: Page) -> None:
        self._rows += self._writer.written(page)
        self._last = None


def _joined(one: Page, other: Page) -> Page:
    entries = joined([one.entries, other.entries])
    if isinstance(one, Interior) and isinstance(other, Interior):
        return Interior(entries, one.level, np.concatenate([one.counts, other.counts]))
    return Leaf(entries)
