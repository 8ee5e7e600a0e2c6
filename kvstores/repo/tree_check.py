"""Reads every page of trees, past those that are damaged."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.checkpoint import Checkpoint, unpack_root
from asynctensor.kvstores.repo.descent import Node, checked, children
from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS, Family
from asynctensor.kvstores.repo.findings import Findings
from asynctensor.kvstores.repo.page import Interior, Page, PageRef, decode_page
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.value_check import ValueCheck

#: Pages that are read at once.
_AHEAD = 16

_Spot = tuple[str, int]


class _Way(NamedTuple):
    """A page, and the pages above it."""

    node: Node
    family: Family | None
    above: tuple[_Spot, ...]


class TreeCheck:
    """Looks at trees; what is wrong goes to `findings`. Pages that trees share are read once.

    Args:
        place: Where the repository is.
        findings: Takes what is found.
        values: Looks at the values.
        only: What the names of the objects of values begin with that are looked at.
    """

    def __init__(self, place: Place, findings: Findings, values: ValueCheck, only: str) -> None:
        self._place, self._findings, self._values, self._only = place, findings, values, only
        self._seen: set[_Spot] = set()
        self._bad: set[_Spot] = set()

    async def check(self, checkpoint: Checkpoint) -> bool:
        """Looks at the trees of a checkpoint; gives whether all of their pages are whole.

        Raises:
            Error: The store failed.
        """
        whole = True
        waiting = [
            _Way(Node(root), None, ())
            for root in (checkpoint.documents, checkpoint.catalog, checkpoint.caller_keys)
            if root is not None
        ]
        while waiting:
            some, waiting = waiting[-_AHEAD:], waiting[:-_AHEAD]
            known = [way for way in some if _spot(way.node.ref) in self._seen]
            whole &= not any(_spot(way.node.ref) in self._bad for way in known)
            fresh = [way for way in some if _spot(way.node.ref) not in self._seen]
            for way, page in zip(fresh, await asyncio.gather(*map(self._page, fresh)), strict=True):
                self._seen.add(_spot(way.node.ref))
                if page is None:
                    whole = False
                    self._bad.update((*way.above, _spot(way.node.ref)))
                else:
                    waiting += await self._below(way, page)
        return whole

    async def _page(self, way: _Way) -> Page | None:
        ref = way.node.ref
        try:
            data = await self._place.get_part(ref.object, ref.offset, ref.size)
            if data is None:
                raise DataLoss("the pack of pages is missing")
            page = checked(decode_page(data, ref), way.node)
            if page.entries.space == CATALOG and not isinstance(page, Interior):
                _catalog(page.entries)
        except DataLoss as error:
            self._findings.failed("page", self._place.key(ref.object), error)
            return None
        await self._findings.looked("pages", 1, len(data))
        return page

    async def _below(self, way: _Way, page: Page) -> list[_Way]:
        above = (*way.above, _spot(way.node.ref))
        if isinstance(page, Interior):
            return [_Way(node, way.family, above) for node in children(page)]
        if page.entries.space == CATALOG:
            return [
                _Way(Node(root), family, above)
                for family, root in _catalog(page.entries)
                if root is not None
            ]
        if (page.entries.space == DOCUMENTS) == (way.family is None):
            await self._values.check(page.entries, way.family, only=self._only)
        return []


def _spot(ref: PageRef) -> _Spot:
    return ref.object, ref.offset


def _catalog(entries: Run) -> list[tuple[Family, PageRef | None]]:
    found = []
    for key, ref in entries.items():
        family = Family.from_key(key.decode())
        value = b"" if ref is None or ref.inline is None else ref.inline
        found.append((family, unpack_root(value, object=family.key)))
    return found
