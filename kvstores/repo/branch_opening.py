"""Opens a branch: from its hint, a checkpoint and the records behind it, in few round trips."""

from __future__ import annotations

import asyncio
import logging

from asynctensor.errors import DataLoss, Error, Unavailable, Unimplemented
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import Branch
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.history import History, tail_of
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.log import Log
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.record import NO_PARENT
from asynctensor.kvstores.repo.tail import Roots, Tail

_log = logging.getLogger(__name__)

#: Records behind a checkpoint that are asked for at once.
_TAIL = 16


class BranchOpening:
    """Opens the branches of one repository.

    Args:
        place: Where the repository is.
        pages: Where pages of the index come from.
        history: Where older states come from.
    """

    def __init__(self, place: Place, pages: PageCache, history: History) -> None:
        self._place, self._pages, self._history = place, pages, history

    async def open(self, lineage: Lineage, name: str, *, lists: bool) -> Branch:
        """A branch with its newest state.

        Args:
            lineage: The branch.
            name: Its name, for messages.
            lists: Whether the store was seen to list what was just created.

        Raises:
            DataLoss: Its log is damaged.
            Error: The store failed.
        """
        expected, held = await self._begin(lineage)
        log, tail, time = await self._before(lineage, held)
        branch = Branch(log, tail, self._pages, self._history, name, time)
        branch.folder = self._fold
        # R37: without listings that show what was just created, nobody looks for intents.
        branch.combines = branch.combines and lists
        await asyncio.gather(branch.refresh(expected), self._warm(tail.roots))
        return branch

    async def _begin(self, lineage: Lineage) -> tuple[int, Checkpoint | None]:
        """A slot that is probably filled, and the checkpoint to begin with."""
        hinted = await self._hint(lineage)
        expected = 0
        held: Checkpoint | None = None
        if hinted is not None:
            # The tail is not long, and what it costs to ask in vain is no round trip.
            expected = hinted.seq + _TAIL
            held = hinted.copy
            if held is None and hinted.checkpoint is not None:
                held = await self._history.readable_checkpoint(lineage, hinted.checkpoint)
        if held is None:
            held = await self._history.checkpoint(lineage, 2**62)
        return expected, held

    async def _before(self, lineage: Lineage, held: Checkpoint | None) -> tuple[Log, Tail, int]:
        """The log and the state at a checkpoint, a fork or the beginning, and the time then."""
        if held is not None and held.seq >= lineage.fork[0]:
            log = Log(self._place, lineage, held.seq, held.digest)
            return log, tail_of(held), held.time
        if lineage.origin is None:
            return Log(self._place, lineage, 0, NO_PARENT), tail_of(None), 0
        log = Log(self._place, lineage, lineage.fork[0], lineage.digest or NO_PARENT)
        tail = await self._history.tail_at(lineage.origin, lineage.fork)
        time = 0
        if lineage.fork[0]:
            time = (await self._history.slot(lineage.origin, lineage.fork[0])).time
        return log, tail, time

    async def _fold(self, branch: Branch) -> None:
        await fold_branch(branch, self._place)

    async def _hint(self, lineage: Lineage) -> Hint | None:
        """The hint of a branch, if it is there and can be read: it only saves requests."""
        name = objects.hint(lineage.branch)
        try:
            body = await self._place.get(name)
            found = None if body is None else Hint.decode(body, object=self._place.key(name))
            if found is not None and found.branch != lineage.branch:
                raise DataLoss("the hint is that of another branch", key=self._place.key(name))
        except Unavailable:
            return None
        except (DataLoss, Unimplemented) as error:
            _log.warning("A hint is damaged, and goes without being read: %s", error)
            return None
        return found

    async def _warm(self, roots: Roots) -> None:
        """Fetches what nearly every read needs, beside the log; failing costs time only."""
        wanted = [ref for ref in (roots.documents, roots.catalog) if ref is not None]
        try:
            await self._pages.warm(wanted)
        except Error:
            return
