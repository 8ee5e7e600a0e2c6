"""Reads the values that runs refer to, and compares them with their checksums."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.damage import Damage, DamageKind
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.findings import Findings
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.run import Run
from asynctensor.runtime.workers import shared_pool
from asynctensor.storage.checksum import crc32c

#: Bytes of an object that are read at once, and bytes between two values that are read for nothing.
_PIECE, _GAP = 4 * 2**20, 64 * 2**10
#: Reads under way: this many pieces are in memory.
_READS = 8


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a run whose values lie in one piece of an object."""

    run: Run
    family: Family | None
    commit: str | None
    object: str
    rows: Sequence[int]

    def bounds(self, row: int) -> tuple[int, int]:
        start = int(self.run.offsets[row])
        return start, start + int(self.run.sizes[row])

    def key(self, row: int) -> str:
        inside = self.run.key(row)
        if self.family is None:
            return inside.decode("utf-8", "surrogatepass")
        return self.family.spell(inside)


class ValueCheck:
    """Looks at values; what is wrong goes to `findings`.

    Args:
        place: Where the repository is.
        findings: Takes what is found.
    """

    def __init__(self, place: Place, findings: Findings) -> None:
        self._place, self._findings = place, findings
        self._reads = asyncio.Semaphore(_READS)
        self._pool = shared_pool("data_copy", os.cpu_count() or 1)
        self._missing: set[str] = set()

    async def check(
        self,
        run: Run,
        family: Family | None,
        commit: str | None = None,
        only: str = "",
    ) -> None:
        """Looks at the values of a run.

        Args:
            run: Of documents, or of `family`.
            family: Whose space it is.
            commit: The commit that they are of.
            only: What the names of the objects that are looked at begin with.

        Raises:
            Error: The store failed.
        """
        assert family is not None or run.space == DOCUMENTS
        pieces = list(_pieces(run, family, commit, only))
        for start in range(0, len(pieces), 4 * _READS):
            some = pieces[start : start + 4 * _READS]
            await asyncio.gather(*(self._piece(each) for each in some))
        for row in np.flatnonzero(run.inlined).tolist():
            ref = run.ref(row)
            assert ref is not None
            if crc32c(ref.inline or b"") != ref.crc:
                held = _Rows(run, family, commit, "", [row])
                self._damaged(held, row, "the checksum of an inline value is wrong")
        await self._findings.looked("values", int((~run.deleted).sum()))

    async def _piece(self, rows: _Rows) -> None:
        async with self._reads:
            if rows.object in self._missing:
                return
            start = rows.bounds(rows.rows[0])[0]
            stop = max(rows.bounds(row)[1] for row in rows.rows)
            if len(rows.rows) == 1 and stop - start > _PIECE:
                await self._large(rows, start, stop)
                return
            try:
                data = await self._part(rows, start, stop)
            except DataLoss as error:
                await self._cut_off(rows, error)
                return
            if data is None:
                self._lost(rows)
                return
            for row in await self._pool.run(_wrong, rows, data, start):
                self._damaged(rows, row, "its checksum is wrong")
            self._findings.counts["bytes"] += len(data)

    async def _part(self, rows: _Rows, start: int, stop: int) -> bytes | None:
        if start == stop:
            return b""
        return await self._place.get_part(rows.object, start, stop - start)

    async def _large(self, rows: _Rows, start: int, stop: int) -> None:
        """Looks at a value that is not held in memory as a whole."""
        crc = 0
        for at in range(start, stop, _PIECE):
            size = min(_PIECE, stop - at)
            try:
                data = await self._place.get_part(rows.object, at, size)
            except DataLoss as error:
                await self._cut_off(rows, error)
                return
            if data is None:
                self._lost(rows)
                return
            crc = await self._pool.run(google_crc32c.extend, crc, data)
            self._findings.counts["bytes"] += size
        if crc != int(rows.run.crcs[rows.rows[0]]):
            self._damaged(rows, rows.rows[0], "its checksum is wrong")

    async def _cut_off(self, rows: _Rows, error: DataLoss) -> None:
        """Looks at each value of a piece by itself: the object ends within the piece."""
        if len(rows.rows) == 1:
            self._damaged(rows, rows.rows[0], error.message, pack=True)
            return
        for row in rows.rows:
            start, stop = rows.bounds(row)
            try:
                data = await self._part(rows, start, stop)
            except DataLoss as short:
                self._damaged(rows, row, short.message, pack=True)
                continue
            if data is None:
                self._lost(rows)
                return
            if crc32c(data) != int(rows.run.crcs[row]):
                self._damaged(rows, row, "its checksum is wrong")

    def _lost(self, rows: _Rows) -> None:
        if rows.object in self._missing:
            return
        self._missing.add(rows.object)
        key = rows.key(rows.rows[0])
        message = f"the object is missing, with the value of {key!r} and perhaps others"
        name = self._place.key(rows.object)
        self._findings.add(Damage("pack", name, message, key, rows.commit))

    def _damaged(self, rows: _Rows, row: int, message: str, *, pack: bool = False) -> None:
        name = self._place.key(rows.object) if rows.object else ""
        kind: DamageKind = "pack" if pack else "value"
        self._findings.add(Damage(kind, name, message, rows.key(row), rows.commit))


def _pieces(run: Run, family: Family | None, commit: str | None, only: str) -> Iterator[_Rows]:
    """The rows of a run, by object and by place in it."""
    stored = np.flatnonzero(~run.deleted & ~run.inlined)
    order = stored[np.lexsort((run.offsets[stored], run.where[stored]))]
    held: list[int] = []
    begin = end = 0
    for row in order.tolist():
        start = int(run.offsets[row])
        stop = start + int(run.sizes[row])
        same = held and run.where[row] == run.where[held[0]]
        if held and not (same and start <= end + _GAP and max(stop, end) - begin <= _PIECE):
            yield from _named(run, family, commit, only, held)
            held = []
        if not held:
            begin = end = start
        held.append(row)
        end = max(end, stop)
    if held:
        yield from _named(run, family, commit, only, held)


def _named(
    run: Run, family: Family | None, commit: str | None, only: str, rows: list[int]
) -> Iterator[_Rows]:
    name = objects.spelled(run.names[int(run.where[rows[0]]) - 2])
    if name.startswith(only):
        yield _Rows(run, family, commit, name, rows)


def _wrong(rows: _Rows, data: bytes, start: int) -> list[int]:
    """The rows whose values in `data`, which begins at `start` of the object, are damaged."""
    view = memoryview(data)
    found = []
    for row in rows.rows:
        begin, end = rows.bounds(row)
        if crc32c(view[begin - start : end - start]) != int(rows.run.crcs[row]):
            found.append(row)
    return found
