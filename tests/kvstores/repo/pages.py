"""A store of pages in memory, which counts, and the rules that every tree keeps."""

from __future__ import annotations

from typing import Any

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.fold import Limits, PagePacks
from asynctensor.kvstores.repo.page import Interior, Page, PageRef, decode_page
from asynctensor.kvstores.repo.run import Ref

#: So small that a handful of keys makes a high tree.
TINY = Limits(entries=4, children=3, page_bytes=1 << 16, inline=6, ahead=2)
#: Pages are cut by their bytes.
SHORT = Limits(entries=100, children=100, page_bytes=260, inline=6, ahead=100)


class PageStore:
    """Packs in memory, of which pages are read as the generators ask for them."""

    def __init__(self, pack_bytes: int = 1 << 25) -> None:
        self.packs: dict[str, bytes] = {}
        self.rounds = 0
        self.pages = 0
        self._pack_bytes = pack_bytes
        self._last = 0

    def new_packs(self) -> PagePacks:
        """Packs whose names follow those made before."""
        return PagePacks(self._new_name, self._pack_bytes)

    def _new_name(self) -> str:
        self._last += 1
        return objects.page_pack(self._last.to_bytes(8, "big"))

    def keep(self, packs: PagePacks) -> None:
        """Stores the packs that a fold has made."""
        self.packs.update(packs.take_all())

    def read(self, ref: PageRef | Ref) -> bytes:
        """The bytes that `ref` refers to."""
        data = self.packs[ref.object][ref.offset : ref.offset + ref.size]
        assert len(data) == ref.size
        return data

    def page(self, ref: PageRef) -> Page:
        """The page at `ref`."""
        return decode_page(self.read(ref), ref)

    def run(self, steps: Any, collect: list[Any] | None = None) -> Any:
        """Runs a generator to its end; what it yields besides lists of pages goes to `collect`."""
        self.rounds = self.pages = 0
        try:
            step = next(steps)
            while True:
                if isinstance(step, list):
                    assert step, "nothing is asked for"
                    self.rounds += 1
                    self.pages += len(step)
                    step = steps.send([self.page(ref) for ref in step])
                else:
                    assert collect is not None
                    collect.append(step)
                    step = next(steps)
        except StopIteration as stop:
            return stop.value

    def reached(
        self, root: PageRef | None, limits: Limits
    ) -> tuple[set[PageRef], dict[bytes, Ref]]:
        """All pages and entries of a tree, which keeps every rule."""
        pages: set[PageRef] = set()
        entries: dict[bytes, Ref] = {}
        if root is not None:
            self._walk(root, None, None, pages, entries, limits)
            assert list(entries) == sorted(entries)
            page = self.page(root)
            assert page.level == 0 or len(page) > 1
        return pages, entries

    def _walk(self, ref, low, high, pages, entries, limits) -> int:
        assert ref not in pages
        pages.add(ref)
        page = self.page(ref)
        assert page.count == ref.count
        most = limits.children if isinstance(page, Interior) else limits.entries
        assert 1 <= len(page) <= most
        assert ref.size <= limits.page_bytes or len(page) == 1
        assert low is None or page.entries.key(0) >= low
        assert high is None or page.entries.key(len(page) - 1) < high
        if not isinstance(page, Interior):
            assert (
                not page.entries.inlined.any()
                or max(page.entries.sizes[page.entries.inlined]) <= limits.inline
            )
            entries.update(page.entries.items())
            return 0
        lows = [page.entries.key(at) for at in range(len(page))]
        levels = {
            self._walk(
                page.child(at),
                lows[at],
                lows[at + 1] if at + 1 < len(lows) else high,
                pages,
                entries,
                limits,
            )
            for at in range(len(page))
        }
        assert levels == {page.level - 1}
        return page.level
