"""Reads the records of branches, past those that are damaged, and what they refer to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.damage import Damage
from asynctensor.kvstores.repo.family import CATALOG, DOCUMENTS
from asynctensor.kvstores.repo.findings import Findings
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.log import read_slot
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.record import CommitEntry, Record
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.value_check import ValueCheck
from asynctensor.runtime.in_order import in_order
from asynctensor.storage.checksum import crc32c

#: Records that are looked at side by side, each with what it refers to.
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Slots:
    """Records of a branch that are looked at.

    Attributes:
        first: The first of them.
        last: The last of them.
        parent: Digest of the one before the first; None where it is not known.
    """

    first: int
    last: int
    parent: bytes | None = None


class LogCheck:
    """Looks at records; what is wrong goes to `findings`.

    Args:
        place: Where the repository is.
        findings: Takes what is found.
        values: Looks at the values.
    """

    def __init__(self, place: Place, findings: Findings, values: ValueCheck) -> None:
        self._place, self._findings, self._values = place, findings, values

    async def last_slot(self, lineage: Lineage) -> int:
        """The last slot of a branch's own log, by what the store lists; the fork if there is none.

        Raises:
            Error: The store failed.
        """
        last = lineage.fork[0]
        async for entry in self._place.names(objects.log_prefix(lineage.branch)):
            last = max(last, objects.seq_of(entry.key) or 0)
            if self._place.store.capabilities.lists_in_order:
                break
        return last

    async def check(self, lineage: Lineage, slots: Slots) -> AsyncIterator[Record]:
        """Looks at records, and at what they refer to; gives those that are whole.

        Raises:
            Error: The store failed.
        """

        async def seqs() -> AsyncIterator[int]:
            for seq in range(slots.first, slots.last + 1):
                yield seq

        async def looked(seq: int) -> Record | None:
            return await self._record(lineage, seq)

        digest, time = slots.parent, 0
        async for record in in_order(seqs(), looked, _AHEAD):
            if record is None:
                digest = None
                continue
            if digest is not None and record.parent != digest:
                self._wrong(
                    lineage,
                    record.seq,
                    "the record does not follow the one before it: another repository was written "
                    "here, or the store lost or replaced an object",
                )
            if record.time <= time:
                self._wrong(lineage, record.seq, "its time is not above that of the record before")
            digest, time = record.digest, record.time
            yield record

    def _wrong(self, lineage: Lineage, seq: int, message: str) -> None:
        name = objects.log_slot(lineage.at(seq).branch, seq)
        self._findings.add(Damage("record", self._place.key(name), message))

    async def _record(self, lineage: Lineage, seq: int) -> Record | None:
        branch = lineage.at(seq).branch
        try:
            record = await read_slot(self._place, branch, seq)
        except DataLoss as error:
            name = self._place.key(objects.log_slot(branch, seq))
            self._findings.failed("record", name, error)
            return None
        if record is None:
            self._wrong(lineage, seq, "the record is missing, and later ones are there")
            return None
        for place, entry in enumerate(record.entries):
            if isinstance(entry, CommitEntry):
                await self._commit(entry, snapshot_id(branch, (seq, place)))
        await self._findings.looked("records", 1, len(record.encoded))
        return record

    async def _commit(self, entry: CommitEntry, commit: str) -> None:
        families = {family.id: family for family in entry.families}
        runs: list[Run] = list(entry.runs)
        for ref in entry.parts:
            part = await self._part(ref, commit)
            if part is not None:
                families.update((family.id, family) for family in part.families)
                runs += part.runs
        for run in runs:
            if run.space == DOCUMENTS or run.space in families:
                await self._values.check(run, families.get(run.space), commit)
            elif run.space != CATALOG:
                raise AssertionError("records name the families of their runs")

    async def _part(self, ref: PartRef, commit: str) -> Part | None:
        name = self._place.key(ref.object)
        data = await self._place.get(ref.object)
        if data is None:
            self._findings.add(Damage("part", name, "the part is missing", commit=commit))
            return None
        try:
            if len(data) != ref.size or crc32c(data) != ref.crc:
                raise DataLoss("the part is not the one that the commit names, or is damaged")
            part = Part.decode(data, object=name)
        except DataLoss as error:
            self._findings.failed("part", name, error, commit)
            return None
        await self._findings.looked("parts", 1, len(data))
        return part
