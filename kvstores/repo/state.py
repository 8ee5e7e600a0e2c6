"""What this process knows of one repository; shared by all who use it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakValueDictionary

from asynctensor.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
)
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import Branch, now
from asynctensor.kvstores.repo.branch_opening import BranchOpening
from asynctensor.kvstores.repo.description import MAIN, Description
from asynctensor.kvstores.repo.history import History
from asynctensor.kvstores.repo.lineage import LAST, Lineage
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.presence import Presence
from asynctensor.kvstores.repo.probe import Probe, probed
from asynctensor.kvstores.repo.refs import Ref, RefEntry, Refs
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import is_snapshot_id, parse_snapshot_id
from asynctensor.kvstores.repo.tail import Version
from asynctensor.runtime.entropy import random_hex
from asynctensor.runtime.loop_lock import LoopLock
from asynctensor.runtime.process import PROCESS


class RepositoryState:
    """A repository, its branches, and the pages of its index. For the I/O loop.

    Args:
        place: Where it is.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pages = PageCache(place)
        self.history = History(place, self.pages)
        self.refs = Refs(place)
        self._opening = BranchOpening(place, self.pages, self.history)
        self._description: Description | None = None
        self._presence = Presence(place)
        self._lineages: dict[str, Lineage] = {}
        #: Branches, by id, whose names survive a crash as far as they must.
        self._durable: set[str] = set()
        #: By the branch's id: a name may come to mean another branch.
        self._branches: dict[str, Branch] = {}
        #: The branch that a name meant when it was looked up last.
        self.named: dict[str, Branch] = {}
        self._turn = LoopLock()

    async def description(self) -> Description:
        """What ``repo.json`` says.

        Raises:
            NotFound: There is no repository here.
            DataLoss, Unimplemented: See `Description.decode`.
            Error: The store failed.
        """
        if self._description is None:
            body = await self.place.get(objects.REPOSITORY)
            if body is None:
                raise NotFound(
                    "there is no repository here; Repository.open(..., create=True) makes one",
                    key=self.place.key(objects.REPOSITORY),
                )
            self._description = Description.decode(body, object=self.place.key(objects.REPOSITORY))
        return self._description

    async def create(self, *, probe: bool = False) -> bool:
        """Makes a repository here, unless there is one.

        Args:
            probe: Whether the store is tried out first; see `probed`.

        Returns:
            Whether this call made it.

        Raises:
            Unimplemented: The store cannot create an object only if it is absent.
            FailedPrecondition: It says that it can, and was seen not to.
            Error: The store failed; there may be an empty repository then.
        """
        unsafe = self.place.single_writer
        if not unsafe and not self.place.store.capabilities.can_create_if_absent:
            await probed(self.place)
        if await self.place.get(objects.REPOSITORY) is not None:
            await self.description()
            return False
        seen = Probe(creates=not unsafe)
        if probe:
            seen = await probed(replace(self.place, single_writer=False), unsafe=unsafe)
        place = replace(self.place, single_writer=not seen.creates)
        mine = Description(
            random_hex(16),
            random_hex(objects.BRANCH_BYTES),
            now(),
            single_writer=not seen.creates,
            lists=seen.lists,
        )
        outcome = await place.create(objects.REPOSITORY, mine.encode())
        found = await self.description()
        if outcome is Created.CREATED and found != mine:
            raise FailedPrecondition(
                "the store said that it created an object only if it was absent, and holds "
                "another: it cannot be trusted with a repository",
                key=self.place.key(objects.REPOSITORY),
            )
        return found == mine

    async def is_current(self) -> bool:
        """Whether what is known here is still of the repository that is in the place.

        Raises:
            DataLoss, Unimplemented, Error: See `Presence.is_of`.
        """
        return self._description is None or await self._presence.is_of(self._description)

    async def _check_place(self) -> None:
        """Refuses to write where the repository was deleted or replaced.

        Raises:
            DataLoss: It was.
        """
        if not await self._presence.remains(await self.description()):
            forget(self)
            raise DataLoss(
                "the repository that was opened here is gone, or another one is in its place: open "
                "it again; nothing was committed",
                key=self.place.key(objects.REPOSITORY),
            )

    async def may_write(self, branch: Branch | None = None) -> None:
        """Checks that this process may write, and that what it would rest on survives a crash.

        Args:
            branch: What it commits to; None: it writes names.

        Raises:
            FailedPrecondition: The repository was made for a single writer, who says so.
            Unavailable: The branch's name may not survive a crash.
            DataLoss: On local files: the repository is gone, or was replaced.
            Error: The store failed.
        """
        if self.place.may_forget:
            # Elsewhere it would cost each commit a request.
            await self._check_place()
        if (await self.description()).single_writer and not self.place.single_writer:
            raise FailedPrecondition(
                "this repository was made with unsafe=True, in a store that does not keep writers "
                "apart: to write, open it with Repository.open(..., unsafe=True), and nowhere else",
                operation="write",
            )
        if branch is None or branch.id in self._durable or not self.place.may_forget:
            return
        # The description needs no such care: what is written below it flushes its folder.
        found = await self.branch_ref(branch.name)
        if found.live is not None and found.live.branch == branch.id:
            await self.refs.confirm("b", branch.name, found)
        self._durable.add(branch.id)

    # -- branches ---------------------------------------------------------------------------

    async def branch(self, name: str) -> Branch:
        """A branch by its name, as it is known; opened when it is asked for first.

        Raises:
            NotFound: There is no such branch, or no repository.
            DataLoss: Something of it is damaged.
            Error: The store failed.
        """
        known = self.known(name)
        if known is not None:
            return known
        async with self._turn:
            known = self.known(name)
            if known is None:
                known = await self._looked_up(name)
                if known.closed:
                    entry = await self.branch_entry(name)
                    if entry.branch == known.id:
                        await self.refs.forget("b", name, entry)
                    raise NotFound(f"there is no branch {name!r} in this repository: it is deleted")
                self.named[name] = known
            return known

    def known(self, name: str) -> Branch | None:
        """The branch of a name, if it was opened, and was not deleted as far as is known."""
        known = self.named.get(name)
        return None if known is None or known.closed else known

    async def is_closed(self, name: str, entry: RefEntry) -> bool:
        """Whether a name means a branch that is closed; then it means nothing any more (R23)."""
        branch = await self.branch_by_id(await self.lineage(entry), name)
        await branch.refresh()
        if branch.closed:
            await self.refs.forget("b", name, entry)
        return branch.closed

    async def _looked_up(self, name: str) -> Branch:
        if name != MAIN:
            _, entry = await asyncio.gather(self.description(), self.branch_entry(name))
            return await self._opened(await self.lineage(entry), name)
        # It hardly ever means another branch than at first: that is opened while it is asked.
        main = (await self.description()).main
        asked, opened = await asyncio.gather(
            self.branch_entry(name),
            self._opened(await self.lineage_of(main), name),
            return_exceptions=True,
        )
        if isinstance(asked, BaseException):
            raise asked
        if asked.branch != main:
            return await self._opened(await self.lineage(asked), name)
        if isinstance(opened, BaseException):
            raise opened
        return opened

    async def branch_entry(self, name: str) -> RefEntry:
        """What the name of a branch means now.

        Raises:
            NotFound: There is no such branch.
        """
        found = await self.branch_ref(name)
        if found.live is None:
            raise NotFound(f"there is no branch {name!r} in this repository")
        return found.live

    async def branch_ref(self, name: str) -> Ref:
        """The log of a branch's name. That of ``main`` begins with what ``repo.json`` says."""
        if name != MAIN:
            return await self.refs.read("b", name)
        description, found = await asyncio.gather(self.description(), self.refs.read("b", name))
        if found.entries:
            return found
        first = RefEntry(bytes(16), "create", description.main, time=description.created)
        return await self.refs.append("b", name, found, first)

    async def lineage(self, entry: RefEntry) -> Lineage:
        """The branch that an entry of its name's log created.

        Raises:
            NotFound: The branch that it was forked from is not to be found.
        """
        known = self._lineages.get(entry.branch)
        if known is not None:
            return known
        origin = None
        if entry.origin:
            origin = await self.lineage_of(entry.origin)
        found = Lineage(entry.branch, entry.version, entry.digest, origin)
        self._lineages[entry.branch] = found
        return found

    async def lineage_of(self, branch: str) -> Lineage:
        """A branch by its id, whether or not its name still means it.

        Raises:
            NotFound: No name ever meant it.
        """
        if branch in self._lineages:
            return self._lineages[branch]
        description = await self.description()
        if branch == description.main:
            self._lineages[branch] = Lineage(branch)
            return self._lineages[branch]
        async for listed in self.place.names(objects.refs_prefix("b")):
            body = await self.place.get(listed.key)
            if body is None:
                continue
            entry = RefEntry.decode(body, object=listed.key)
            if entry.branch == branch and entry.action == "create":
                return await self.lineage(entry)
        raise NotFound(f"this repository has no branch of id {branch}")

    async def _opened(self, lineage: Lineage, name: str) -> Branch:
        known = self._branches.get(lineage.branch)
        if known is None:
            lists = (await self.description()).lists
            known = await self._opening.open(lineage, name, lists=lists)
            self._branches[lineage.branch] = known
        return known

    # -- older states -----------------------------------------------------------------------

    async def tagged(self, name: str) -> Snapshot:
        """The state that a tag names.

        Raises:
            NotFound: There is no such tag.
        """
        _, found = await asyncio.gather(self.description(), self.refs.read("t", name))
        entry = found.live
        if entry is None:
            raise NotFound(f"there is no tag {name!r} in this repository")
        return await self.snapshot(entry.branch, entry.version)

    async def snapshot_of(self, text: str) -> Snapshot:
        """The state after a commit, by its id.

        Raises:
            InvalidArgument: `text` is no id.
            NotFound: There is no such commit.
        """
        branch, version = parse_snapshot_id(text)
        await self.history.commit(await self.lineage_of(branch), version)
        return await self.snapshot(branch, version)

    async def as_of(self, time: int, name: str = MAIN) -> Snapshot:
        """The state of a branch at some time: after the last commit that is not later.

        Args:
            time: Microseconds since the Unix epoch, by the log's own times.
            name: The branch.

        Raises:
            NotFound: The repository is younger than that.
        """
        branch = await self.branch(name)
        newest = (await branch.refresh()).version[0]
        low, high = 0, newest
        while low < high:
            middle = (low + high + 1) // 2
            record = await self.history.slot(branch.log.lineage, middle)
            low, high = (middle, high) if record.time <= time else (low, middle - 1)
        if low == 0 and (await self.description()).created > time:
            raise NotFound("the repository did not exist at that time")
        return await self.history.snapshot(branch.log.lineage, (low, LAST))

    async def find_state(self, text: str) -> tuple[Lineage, Version]:
        """The branch and the version that a name stands for.

        Args:
            text: The id of a commit, or the name of a branch (its newest commit) or a tag.

        Raises:
            NotFound: It is neither.
            InvalidArgument: It can be none of these.
        """
        objects.quoted(text)
        if is_snapshot_id(text):
            id_, version = parse_snapshot_id(text)
            lineage = await self.lineage_of(id_)
            await self.history.commit(lineage, version)
            return lineage, version
        found = await self.branch_ref(text)
        if found.live is not None:
            branch = await self.branch(text)
            newest = await branch.refresh()
            lineage = branch.log.lineage
            return lineage, await self.history.last_commit(lineage, newest)
        tag = (await self.refs.read("t", text)).live
        if tag is None:
            raise NotFound(f"there is no branch, tag or commit {text!r} in this repository")
        return await self.lineage_of(tag.branch), tag.version

    async def branch_by_id(self, lineage: Lineage, name: str | None = None) -> Branch:
        """A branch by its lineage, whether or not a name still means it; opened if need be."""
        async with self._turn:
            return await self._opened(lineage, name or lineage.branch)

    async def snapshot(self, branch: str, version: Version) -> Snapshot:
        """An older state.

        Args:
            branch: The id of the branch that made it.
            version: The commit that it is after.

        Raises:
            NotFound: There is no such commit.
            DataLoss: Something of it is damaged.
            Error: The store failed.
        """
        return await self.history.snapshot(await self.lineage_of(branch), version)


_KNOWN: WeakValueDictionary[object, RepositoryState] = WeakValueDictionary()


def state_of(place: Place) -> RepositoryState:
    """What the process knows of the repository at a place; one for all who share credentials."""
    with PROCESS.lock:
        found = _KNOWN.get(place.identity)
        if found is None:
            found = _KNOWN[place.identity] = RepositoryState(place)
        return found


async def current_state(place: Place) -> RepositoryState:
    """`state_of`, without what is known of a repository that is gone from the place.

    Raises:
        DataLoss, Unimplemented, Error: See `RepositoryState.is_current`.
    """
    found = state_of(place)
    if not await found.is_current():
        forget(found)
        found = state_of(place)
    return found


def forget(state: RepositoryState) -> None:
    """Has whoever opens the place next find out anew what is there."""
    with PROCESS.lock:
        if _KNOWN.get(state.place.identity) is state:
            del _KNOWN[state.place.identity]
