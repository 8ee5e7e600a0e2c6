"""Verifies a repository: reads all that its states reach, and says what is damaged.

Nothing that other readers keep is believed, and nothing is held that grows with the size of the
data: of the index, the places of its pages.
"""

from __future__ import annotations

from asynctensor.errors import DataLoss, NotFound, Unimplemented
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.damage import Damage
from asynctensor.kvstores.repo.description import Description
from asynctensor.kvstores.repo.findings import Findings
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.history import History
from asynctensor.kvstores.repo.lineage import LAST, Lineage
from asynctensor.kvstores.repo.log_check import LogCheck, Slots
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.record import NO_PARENT, CommitEntry
from asynctensor.kvstores.repo.refs import RefEntry
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.tail import Version
from asynctensor.kvstores.repo.tree_check import TreeCheck
from asynctensor.kvstores.repo.value_check import ValueCheck


class Inspection:
    """One look at a repository.

    Args:
        place: Where it is.
        findings: Takes what is found.
        repair: Whether damaged checkpoints and hints are deleted, for the log says the same.
    """

    def __init__(self, place: Place, findings: Findings, *, repair: bool) -> None:
        self._place, self._findings, self._repair = place, findings, repair
        self._values = ValueCheck(place, findings)
        self._log = LogCheck(place, findings, self._values)
        self.repaired: list[str] = []

    async def everything(self) -> None:
        """Looks at all that any commit of any branch reaches.

        Raises:
            NotFound: There is no repository.
            Error: The store failed.
        """
        description = await self._description()
        created = await self._names()
        if description is not None:
            created.setdefault(description.main, RefEntry(bytes(16), "create", description.main))
        # What records write is looked at there; only the index keeps copies of small values.
        trees = TreeCheck(self._place, self._findings, self._values, "idx/")
        lineages: dict[str, Lineage] = {}
        for branch in created:
            lineage = self._lineage(branch, created, lineages, 0)
            if lineage is not None:
                await self._branch(lineage, trees)

    async def state(self, state: RepositoryState, source: str) -> None:
        """Looks at all that one state reaches.

        Raises:
            NotFound: There is no such state, or no repository.
            DataLoss: What the state's name means cannot be read.
            Error: The store failed.
        """
        lineage, version = await state.find_state(source)
        trees = TreeCheck(self._place, self._findings, self._values, "")
        await self._reach(lineage, version, trees)

    # -- names ------------------------------------------------------------------------------

    async def _description(self) -> Description | None:
        name = self._place.key(objects.REPOSITORY)
        body = await self._place.get(objects.REPOSITORY)
        if body is None:
            raise NotFound("there is no repository here", key=name)
        try:
            return Description.decode(body, object=name)
        except DataLoss as error:
            self._findings.failed("repository", name, error)
            return None

    async def _names(self) -> dict[str, RefEntry]:
        """The entries that created branches, by the branch's id."""
        created: dict[str, RefEntry] = {}
        numbers: dict[str, set[int]] = {}
        kinds: tuple[objects.RefKind, ...] = ("b", "t")
        for kind in kinds:
            async for listed in self._place.names(objects.refs_prefix(kind)):
                found = objects.ref_of(listed.key)
                if found is None:
                    continue
                numbers.setdefault(listed.key.rpartition("/")[0], set()).add(found[1])
                entry = await self._entry(listed.key)
                if entry is not None and kind == "b" and entry.action == "create":
                    created[entry.branch] = entry
        for folder, there in numbers.items():
            for missing in sorted(set(range(max(there))) - there):
                name = self._place.key(f"{folder}/{missing}")
                message = "the entry is missing, and later ones are there"
                self._findings.add(Damage("name", name, message))
        return created

    async def _entry(self, name: str) -> RefEntry | None:
        body = await self._place.get(name)
        if body is None:
            return None
        try:
            entry = RefEntry.decode(body, object=self._place.key(name))
        except DataLoss as error:
            self._findings.failed("name", self._place.key(name), error)
            return None
        await self._findings.looked("names", 1, len(body))
        return entry

    def _lineage(
        self, branch: str, created: dict[str, RefEntry], known: dict[str, Lineage], depth: int
    ) -> Lineage | None:
        if branch in known:
            return known[branch]
        entry = created.get(branch)
        if entry is None or depth > len(created):
            name = self._place.key(objects.refs_prefix("b"))
            message = f"no entry of any name says what branch {branch} is, that another comes from"
            self._findings.add(Damage("name", name, message))
            return None
        origin = None
        if entry.origin:
            origin = self._lineage(entry.origin, created, known, depth + 1)
            if origin is None:
                return None
        known[branch] = Lineage(branch, entry.version, entry.digest, origin)
        return known[branch]

    # -- branches ---------------------------------------------------------------------------

    async def _branch(self, lineage: Lineage, trees: TreeCheck) -> None:
        last = await self._log.last_slot(lineage)
        held: dict[int, Checkpoint | None] = {}
        async for listed in self._place.names(objects.checkpoint_prefix(lineage.branch)):
            seq = objects.seq_of(listed.key)
            if seq is not None:
                held[seq] = await self._checkpoint(lineage, seq)
        first, parent = lineage.fork[0] + 1, lineage.digest or NO_PARENT
        async for record in self._log.check(lineage, Slots(first, last, parent)):
            checkpoint = held.get(record.seq)
            if checkpoint is not None and checkpoint.digest != record.digest:
                name = self._place.key(objects.checkpoint(lineage.branch, record.seq))
                self._findings.add(Damage("checkpoint", name, "it is that of another record"))
                held[record.seq] = None
        for seq in sorted(held, reverse=True):
            checkpoint = held[seq]
            if checkpoint is None or not await trees.check(checkpoint):
                await self._rebuild(objects.checkpoint(lineage.branch, seq))
        await self._hint(lineage, last)

    async def _checkpoint(self, lineage: Lineage, seq: int) -> Checkpoint | None:
        name = self._place.key(objects.checkpoint(lineage.at(seq).branch, seq))
        try:
            found = await History(self._place, PageCache(self._place)).checkpoint_at(lineage, seq)
        except DataLoss as error:
            self._findings.failed("checkpoint", name, error)
            return None
        await self._findings.looked("checkpoints")
        return found

    async def _hint(self, lineage: Lineage, last: int) -> None:
        name = objects.hint(lineage.branch)
        body = await self._place.get(name)
        if body is None:
            return
        try:
            found = Hint.decode(body, object=self._place.key(name))
            if found.branch != lineage.branch or found.seq > last:
                raise DataLoss(f"it is of {found.branch} {found.seq}, which is not in the log")
        except (DataLoss, Unimplemented) as error:
            self._findings.failed("hint", self._place.key(name), error)
            await self._rebuild(name)
            return
        await self._findings.looked("hints", 1, len(body))

    async def _rebuild(self, name: str) -> None:
        """Removes what the log says again: the next commits make it anew (R20)."""
        if self._repair:
            await self._place.delete(name)
            self.repaired.append(self._place.key(name))

    # -- one state --------------------------------------------------------------------------

    async def _reach(self, lineage: Lineage, version: Version, trees: TreeCheck) -> None:
        seq, place = version
        before = await self._newest_checkpoint(lineage, seq if place == LAST else seq - 1)
        if before is not None and not await trees.check(before):
            await self._rebuild(objects.checkpoint(before.branch, before.seq))
        first = 1 if before is None else before.seq + 1
        parent = NO_PARENT if before is None else before.digest
        async for record in self._log.check(lineage, Slots(first, seq, parent)):
            for at, entry in enumerate(record.entries):
                if not isinstance(entry, CommitEntry) or (record.seq, at) > version:
                    continue
                if entry.kind == "reset" and entry.target is not None:
                    await self._reach(lineage, entry.target[1:], trees)

    async def _newest_checkpoint(self, lineage: Lineage, seq: int) -> Checkpoint | None:
        # A checkpoint is of a whole record, of which a fork may have a part.
        seq = lineage.whole(seq)
        found: Lineage | None = lineage.at(seq)
        while found is not None:
            seqs = [
                at
                async for listed in self._place.names(objects.checkpoint_prefix(found.branch))
                if (at := objects.seq_of(listed.key)) is not None and 0 < at <= seq
            ]
            for at in sorted(seqs, reverse=True):
                held = await self._checkpoint(found, at)
                if held is not None:
                    return held
                await self._rebuild(objects.checkpoint(found.branch, at))
            seq, found = lineage.whole(found.fork[0]), found.origin
        return None
