"""Pages of the index: fetched, decoded, and kept."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from asynctensor.errors import DataLoss, OutOfRange
from asynctensor.kvstores.repo.damage import LostPage
from asynctensor.kvstores.repo.page import Page, PageRef, decode_page
from asynctensor.kvstores.repo.part import decode_part_page
from asynctensor.kvstores.repo.part_ref import PartPage
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.tree import Pages
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import data_copy_pool

S = TypeVar("S")
T = TypeVar("T")

#: Bytes before a page that are fetched along when a cache is warmed: what it leads to was written
#: before it.
_BEFORE = 16 * 1024
#: More than that between two pages is not fetched along.
_WARM = 256 * 1024
#: Encoded bytes of the pages that are kept.
_LIMIT = 32 * 2**20


class PageCache:
    """The pages of one repository. A page never changes, so that what is kept stays true.

    Args:
        place: Where the repository is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pages: OrderedDict[tuple[str, int], tuple[Page, int]] = OrderedDict()
        self._bytes = 0
        #: Parts of packs, by name: where each begins, and its bytes.
        self._warm: dict[str, tuple[int, bytes]] = {}
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`."""
        self._lock = threading.Lock()
        #: Pages that are on their way, on the I/O loop.
        self._coming: dict[tuple[str, int], asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(
        self, plan: Pages[T], instead: Callable[[PageRef, DataLoss], Page] | None = None
    ) -> T:
        """Runs a generator that needs pages to its end.

        Args:
            plan: The generator.
            instead: Gives what it is sent for a page that is missing or damaged; or raises. By
                default that is an error.

        Raises:
            DataLoss: A page is missing or damaged.
            Error: The store failed.
        """
        try:
            wanted = next(plan)
            while True:
                wanted = plan.send(await self._all(wanted, instead))
        except StopIteration as done:
            result: T = done.value
            return result

    async def warm(self, refs: Sequence[PageRef]) -> None:
        """Fetches pages, and what was written before them in the same packs.

        Raises:
            Error: The store failed.
        """
        packs: dict[str, tuple[int, int]] = {}
        for ref in refs:
            start, stop = packs.get(ref.object, (ref.offset, ref.offset))
            packs[ref.object] = min(start, ref.offset), max(stop, ref.offset + ref.size)
        await asyncio.gather(
            *(
                self._warm_part(name, max(0, start - _BEFORE), stop)
                for name, (start, stop) in packs.items()
                if stop - start <= _WARM
            )
        )

    async def _warm_part(self, name: str, start: int, stop: int) -> None:
        data = await self._place.get_part(name, start, stop - start)
        if data is not None:
            self._warm[name] = start, data

    async def run_on_workers(self, plan: Pages[T]) -> T:
        """The same, with the generator's own work done on worker threads."""
        pool = data_copy_pool()
        pages: list[Page] | None = None
        while True:
            done, wanted = await pool.run(_stepped, plan, pages)
            if done:
                result: T = wanted
                return result
            pages = await self._all(wanted)

    async def stream(
        self, steps: Generator[list[PageRef] | S, list[Page], None]
    ) -> AsyncIterator[S]:
        """What a generator gives that needs pages in between.

        Raises:
            DataLoss: A page is missing or damaged.
            Error: The store failed.
        """
        sent: list[Page] | None = None
        while True:
            try:
                item = next(steps) if sent is None else steps.send(sent)
            except StopIteration:
                return
            if isinstance(item, list):
                sent = await self._all(item)
            else:
                sent = None
                yield item

    def run_blocking(self, plan: Pages[T]) -> T:
        """The same on a thread that may wait, where the base store has a blocking face.

        Raises:
            DataLoss: A page is missing or damaged.
            Error: The store failed.
        """
        try:
            wanted = next(plan)
            while True:
                wanted = plan.send([self._known(ref) or self._read(ref) for ref in wanted])
        except StopIteration as done:
            result: T = done.value
            return result

    def run_known(self, plan: Pages[T]) -> tuple[T] | None:
        """The same if all pages are at hand, with the result in a tuple; None if one is not."""
        try:
            wanted = next(plan)
            while True:
                pages = [page for ref in wanted if (page := self._known(ref)) is not None]
                if len(pages) < len(wanted):
                    plan.close()
                    return None
                wanted = plan.send(pages)
        except StopIteration as done:
            return (done.value,)

    async def _all(
        self,
        wanted: list[PageRef],
        instead: Callable[[PageRef, DataLoss], Page] | None = None,
    ) -> list[Page]:
        known = [self._known(ref) for ref in wanted]
        missing = [ref for ref, page in zip(wanted, known, strict=True) if page is None]
        if missing:
            loaded = iter(await asyncio.gather(*(self._loaded(ref, instead) for ref in missing)))
            known = [next(loaded) if page is None else page for page in known]
        return [page for page in known if page is not None]

    async def _loaded(
        self, ref: PageRef, instead: Callable[[PageRef, DataLoss], Page] | None
    ) -> Page:
        try:
            return await self._load(ref)
        except DataLoss as error:
            if instead is None:
                raise
            return instead(ref, error)

    async def _load(self, ref: PageRef) -> Page:
        """A page from the store; those who want one that is on its way wait for it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What an I/O loop that has ended was waiting for never comes.
            self._loop, self._coming = loop, {}
        place, coming = _place(ref), self._coming
        if place in coming:
            await coming[place].wait()
            page = self._known(ref)
            # If it did not come, each finds out why.
            return await self._fetched(ref) if page is None else page
        came = coming[place] = asyncio.Event()
        try:
            return await self._fetched(ref)
        finally:
            del coming[place]
            came.set()

    async def _fetched(self, ref: PageRef) -> Page:
        with _lost_unless_part(ref):
            data = await self._place.get_part(ref.object, ref.offset, ref.size)
        return self._decoded(ref, data)

    def _read(self, ref: PageRef) -> Page:
        face = self._place.store.blocking
        assert face is not None
        opened = face.open(self._place.key(ref.object))
        if opened is None:
            return self._decoded(ref, None)
        try:
            buffer = bytearray(ref.size)
            with _lost_unless_part(ref):
                opened.read_into(memoryview(buffer), ref.offset)
        finally:
            opened.close()
        return self._decoded(ref, bytes(buffer))

    def _decoded(self, ref: PageRef, data: bytes | None) -> Page:
        with _lost_unless_part(ref):
            if data is None:
                what = "part of a commit" if isinstance(ref, PartPage) else "page of the index"
                raise DataLoss(f"a {what} is missing", key=self._place.key(ref.object))
            if isinstance(ref, PartPage):
                page: Page = decode_part_page(data, ref)
            else:
                page = decode_page(data, ref)
        place = _place(ref)
        with self._lock:
            if place not in self._pages:
                self._pages[place] = page, ref.size
                self._bytes += ref.size
            while self._bytes > _LIMIT:
                _, (_, size) = self._pages.popitem(last=False)
                self._bytes -= size
        return page

    def _known(self, ref: PageRef) -> Page | None:
        with self._lock:
            place = _place(ref)
            found = self._pages.get(place)
            if found is not None:
                self._pages.move_to_end(place)
                return found[0]
        part = self.warmed(ref.object, ref.offset, ref.size)
        if part is None:
            return None
        try:
            return self._decoded(ref, part)
        except DataLoss:
            # Whoever asks the store for it finds out.
            return None

    def warmed(self, name: str, offset: int, size: int) -> bytes | None:
        """Bytes of a pack of pages, if they came along; not checked."""
        start, data = self._warm.get(name, (0, b""))
        at = offset - start
        return data[at : at + size] if 0 <= at <= len(data) - size else None


@contextmanager
def _lost_unless_part(ref: PageRef) -> Iterator[None]:
    """Has damage of a page told as `LostPage`; a part is not in the log again."""
    try:
        yield
    except (DataLoss, OutOfRange) as error:
        if isinstance(ref, PartPage):
            raise
        raise LostPage(error.message, key=error.key) from error


def _place(ref: PageRef) -> tuple[str, int]:
    """What a page is known by: its object, and where in it."""
    return ref.object, ref.index if isinstance(ref, PartPage) else ref.offset


def _stepped(plan: Pages[Any], pages: list[Page] | None) -> tuple[bool, Any]:
    """Runs a generator to the pages it needs next, or to its end."""
    try:
        return False, next(plan) if pages is None else plan.send(pages)
    except StopIteration as done:
        return True, done.value
